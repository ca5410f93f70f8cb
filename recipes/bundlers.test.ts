/** Bundles an application as docs/recipes/bundlers.md says, and tests it with vitest, with the package as it is installed. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { childEnvironment } from '../test/support/child-environment.ts'
import { fencesOf, read, ROOT } from '../test/support/fences.ts'
import { folderWithPackages } from './folder.ts'

const PAGE = 'docs/recipes/bundlers.md'
const fences = fencesOf(PAGE)
const [external = '', bundled = ''] = fences.flatMap(({ code }) => code.startsWith('esbuild') ? [code] : [])
const config = fences.find(({ file }) => file === 'vitest.config.ts')?.code ?? ''
const ANOTHER_COPY = 'got a MikroORM of another copy of @mikro-orm/core'

const APP = `
import { defineEntity, MikroORM, p } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import scopedDb, { db } from 'fastify-scoped-db'

const User = defineEntity({ name: 'User', properties: { id: p.integer().primary() } })

export async function countUsers () {
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [User] })
  await orm.schema.create()
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  app.get('/', async () => await db.session.count(User))
  const { body } = await app.inject('/')
  await app.close()
  return body
}
`

const TEST = `
import { expect, test } from 'vitest'
import { countUsers } from './app.ts'

test('it counts', async () => { expect(await countUsers()).toBe('0') })
`

/** An application in a folder where this package is installed as users have it: compiled, in node_modules. */
function application (t: Test): string {
  const folder = folderWithPackages(t)
  const installed = join(folder, 'node_modules/fastify-scoped-db')
  rmSync(installed, { recursive: true })
  run(ROOT, 'tsc', '-p', 'tsconfig.build.json', '--outDir', join(installed, 'dist'))
  copyFileSync(join(ROOT, 'package.json'), join(installed, 'package.json'))
  for (const [file, code] of Object.entries({ 'app.ts': APP, 'app.test.ts': TEST, 'main.ts': "import { countUsers } from './app.ts'\nconsole.log(await countUsers())\n" })) writeFileSync(join(folder, file), code)
  return folder
}

function run (cwd: string, command: string, ...args: string[]) {
  const path = `${join(import.meta.dirname, 'node_modules/.bin')}:${process.env['PATH']}`
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env: { ...childEnvironment, PATH: path }, encoding: 'utf8', timeout: 120_000 })
  return { status, stdout, output: stdout + stderr }
}

void t.test('the page quotes the message', async t => {
  t.match(read(PAGE), ANOTHER_COPY)
})

void t.test('esbuild', async t => {
  const folder = application(t)
  t.equal(run(folder, 'bash', '-c', external).status, 0)
  t.match(run(folder, 'node', 'dist/main.js'), { status: 0, stdout: '0\n' })
  t.equal(run(folder, 'bash', '-c', bundled).status, 0)
  t.match(run(folder, 'node', 'dist/main.js'), { status: 1, output: ANOTHER_COPY })
})

void t.test('vitest', async t => {
  const folder = application(t)
  const test = () => run(folder, 'vitest', 'run')
  t.match(test(), { status: 0, output: /1 passed/ }, 'as it is')
  writeFileSync(join(folder, 'vitest.config.ts'), config)
  t.match(test(), { status: 0, output: /1 passed/ }, 'all inlined')
  writeFileSync(join(folder, 'vitest.config.ts'), config.replace(", 'fastify-scoped-db'", ''))
  t.match(test(), { status: 1, output: ANOTHER_COPY }, 'MikroORM alone')
})
