import { spawnSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { output, type Checks } from './checks.ts'
import { ENGINES, NAME, PEERS, PROGRAMS, tsconfig, TYPES } from './user.ts'

/** Versions to install beside the package, and what to run and to compile there. */
export interface Corner {
  readonly fastify: string
  readonly mikroOrm: string
  readonly nodes: string[]
  readonly typescripts: string[]
}

const oldest = (range: string) => range.replace(/^\D+/, '')

/** The ends of every range, with each other; and its corners: all of the oldest, all of the newest. */
export function choices (): { all: Corner[], corners: Corner[] } {
  const fastify = [oldest(PEERS.fastify), PEERS.fastify]
  const mikroOrm = [oldest(PEERS['@mikro-orm/core']), newestDriver()]
  const nodes = [`${oldest(ENGINES.node)}.0`, '24', 'latest']
  // 5.4 is the oldest that can read the declarations of MikroORM and of Fastify.
  const typescripts = ['5.4', 'latest']
  const end = <T>(versions: T[], at: 0 | -1) => versions.slice(at).slice(0, 1)
  return {
    all: fastify.flatMap(fastify => mikroOrm.map(mikroOrm => ({ fastify, mikroOrm, nodes, typescripts }))),
    corners: ([0, -1] as const).map(at => ({ fastify: end(fastify, at).join(), mikroOrm: end(mikroOrm, at).join(), nodes: end(nodes, at), typescripts: end(typescripts, at) }))
  }
}

/** A driver fits one version of the core only, which may be published ahead of it. */
function newestDriver (): string {
  const versions = JSON.parse(output('.', 'npm', 'view', `@mikro-orm/sqlite@${PEERS['@mikro-orm/core']}`, 'version', '--json')) as string[] | string
  return [versions].flat().at(-1) ?? 'none'
}

/** Installs the tarball as users do, with each choice of versions; runs programs and the compiler there. */
export function checkCorners (checks: Checks, tarball: string, folder: string, corners: Corner[]): void {
  for (const { fastify, mikroOrm, nodes, typescripts } of corners) {
    const versions = `fastify ${fastify}, MikroORM ${mikroOrm}`
    const user = newFolder(folder, { ...PROGRAMS, 'types.ts': TYPES })
    if (!checks.run(`install with ${versions}`, user, 'npm', 'install', '--no-audit', '--loglevel', 'error', tarball, `fastify@${fastify}`, `@mikro-orm/core@${mikroOrm}`, `@mikro-orm/sqlite@${mikroOrm}`, '@types/node@24')) continue
    for (const version of nodes) {
      const node = tool(folder, 'node', version, 'bin/node')
      for (const program of Object.keys(PROGRAMS)) checks.run(`${program} on Node ${version}, ${versions}`, user, node, program)
    }
    for (const version of typescripts) {
      const tsc = tool(folder, 'typescript', version, 'bin/tsc')
      for (const module of ['nodenext', 'bundler'] as const) {
        const title = `types for TypeScript ${version}, ${module}, ${versions}`
        console.log(`\n> ${title}`)
        writeFileSync(join(user, 'tsconfig.json'), tsconfig(module))
        const errors = compile(user, tsc)
        checks.that(title, errors.length === 0, errors.join('\n'))
      }
    }
  }
}

/** What the compiler says of the user's code and of this package. MikroORM's own declarations do not pass `exactOptionalPropertyTypes`. */
function compile (user: string, tsc: string): string[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '--pretty', 'false'], { cwd: user, encoding: 'utf8' })
  const errors = stdout.split('\n').filter(line => /error TS\d+/.test(line))
  if (status !== 0 && errors.length === 0) return [stdout + stderr]
  return errors.filter(line => !line.startsWith('node_modules/') || line.startsWith(`node_modules/${NAME}/`))
}

const tools = new Map<string, string>()

/** The path of a file of a package, which is installed in a folder of its own. */
function tool (folder: string, name: string, version: string, file: string): string {
  const key = `${name} ${version}`
  const own = tools.get(key) ?? newFolder(folder)
  if (!tools.has(key)) output(own, 'npm', 'install', '--no-audit', '--loglevel', 'error', `${name}@${version}`)
  tools.set(key, own)
  return join(own, 'node_modules', name, file)
}

function newFolder (folder: string, files: Record<string, string> = {}): string {
  const path = mkdtempSync(join(folder, 'installed-'))
  writeFileSync(join(path, 'package.json'), JSON.stringify({ private: true, type: 'module', allowScripts: { node: true } }))
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
  return path
}
