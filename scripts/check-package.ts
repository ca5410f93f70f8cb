/**
 * `npm run check:package`: packs the package as it would be published and looks at it as a user gets it, installed
 * beside nothing but what it declares as its dependencies. Then does what the README says, which downloads that as a user does.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')
/** Their packages are in scripts/, so that who works on the library need not install them. */
const tool = (name: string) => join(import.meta.dirname, 'node_modules/.bin', name)
const { name, dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
const folder = mkdtempSync(join(tmpdir(), `${name}-package-`))

interface Manifest {
  readonly name: string
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
}

/** What a user may write: the plugin, the global, the augmentation and a test's isolation, with every declaration file checked in full. */
const USER = `
import Fastify from 'fastify'
import type { EntityManager } from '@mikro-orm/core'
import scopedDb, { db, type ScopedDbOptions } from '${name}'
import { isolate, type Isolation } from '${name}/testing'

interface DriverEntityManager extends EntityManager { driverOnly (): void }

declare module '${name}' {
  interface Databases { default: DriverEntityManager }
}

const options: ScopedDbOptions = { commitOnTeardown: true }
const app = Fastify()
app.register(scopedDb, options)
app.get('/', { config: { db: false } }, async request => request.db.driverOnly())
export const session: DriverEntityManager = db.session
export const isolation: Promise<Isolation> = isolate(app)
`

const CONFIG = {
  compilerOptions: { target: 'es2023', lib: ['es2024', 'esnext.disposable'], module: 'nodenext', types: ['node'], strict: true, noEmit: true, skipLibCheck: false },
  files: ['user.ts']
}

const failed: string[] = []

function check (title: string, command: string, ...args: string[]): boolean {
  console.log(`\n> ${title}`)
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', cwd: folder })
  if (error !== undefined) console.error(error.message)
  if (status !== 0) failed.push(title)
  return status === 0
}

function install (tarball: string): void {
  const modules = join(folder, 'node_modules')
  for (const module of [...Object.keys(dependencies), ...Object.keys(peerDependencies), '@types/node']) {
    mkdirSync(dirname(join(modules, module)), { recursive: true })
    symlinkSync(join(root, 'node_modules', module), join(modules, module), 'junction')
  }
  mkdirSync(join(modules, name))
  check('unpack', 'tar', '-xzf', tarball, '--strip-components=1', '-C', join(modules, name))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'user.ts'), USER)
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(CONFIG))
}

/** What somebody downloads who installs it, in bytes. */
const LARGEST = 150_000

function weigh (tarball: string): void {
  const title = `at most ${LARGEST / 1_000} kB`
  const { size } = statSync(tarball)
  console.log(`\n> ${title}\n${size / 1_000} kB`)
  if (size > LARGEST) failed.push(title)
}

/** Fails when the package has files that its users need not download. */
function refuse (title: string, isRefused: (file: string) => boolean): void {
  console.log(`\n> no ${title}`)
  const found = readdirSync(join(folder, 'node_modules', name), { recursive: true, encoding: 'utf8' }).filter(isRefused)
  if (found.length === 0) return
  console.error(found.join('\n'))
  failed.push(`no ${title}`)
}

try {
  if (check('npm pack', 'npm', 'pack', root, '--pack-destination', folder, '--loglevel', 'error')) {
    const tarball = join(folder, readdirSync(folder).find(file => file.endsWith('.tgz')) ?? 'no tarball')
    check('publint', tool('publint'), 'run', tarball, '--strict')
    // The package is ESM only, as MikroORM 7 is: what require() from CommonJS and node10's resolution would get is no fault.
    check('attw', tool('attw'), tarball, '--profile', 'esm-only')
    weigh(tarball)
    install(tarball)
    refuse('reports, plots, sources and maps of them', file => /^(bench|lib)\b|^docs.(architecture|performance|reliability|decisions)\b|\.svg$|\.map$|(?<!\.d)\.ts$/.test(file))
    check('import', 'node', '--input-type=module', '--eval', `import plugin, { db } from '${name}'; import { isolate } from '${name}/testing'; if (typeof plugin !== 'function' || typeof db !== 'object' || typeof isolate !== 'function') process.exit(1)`)
    check('types for a user', 'tsc', '-p', folder)
    const quickStart = join(import.meta.dirname, 'quick-start.ts')
    check('quick start, on the oldest Node', 'node', quickStart, tarball, dirname(tool('node')))
    check('quick start, on this Node', 'node', quickStart, tarball, dirname(process.execPath))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(', ')}`)
  process.exitCode = 1
}
