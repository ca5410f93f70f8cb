import type { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import ts from 'typescript'
import { ROOT, type Fence } from './fences.ts'

/** What each example finds in place, unless it has `setup=none`: that of the quick start in the README, as far as they need it. */
export const QUICK_START = `
import { defineEntity, MikroORM, p } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import scopedDb, { db } from 'fastify-scoped-db'

const User = defineEntity({
  name: 'User',
  properties: { id: p.integer().primary(), name: p.string(), email: p.string().unique() }
})
const orm = await MikroORM.init({ dbName: ':memory:', entities: [User] })
await orm.schema.create()
const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { logs.push(line) } } } })
const logs: string[] = []
`

const REGISTERED = 'await app.register(scopedDb, { orm, commitOnTeardown: true })\n'

/** What the examples of docs/testing.md test. */
const USERS = `
app.post('/users', async (request, reply) => {
  reply.code(201)
  return request.db.create(User, request.body as { name: string, email: string })
})
`

/**
 * - `none`: the example is complete.
 * - `orm`: it registers the plugin by itself.
 * - `app`: the plugin is registered with `commitOnTeardown: true`.
 * - `users`: and POST /users creates one.
 */
const PRELUDES: Record<string, string> = { none: '', orm: QUICK_START, app: QUICK_START + REGISTERED, users: QUICK_START + REGISTERED + USERS }

/** What a test sees of an example that has been run. */
export interface Example {
  readonly app: FastifyInstance
  readonly orm: MikroORM
  readonly logs: string[]
  /** Whatever else the example exports. */
  readonly [name: string]: unknown
}

/** What a fence stands for, as a module, and a name for its file. */
export function moduleOf ({ name, place, setup, code }: Fence): { file: string, source: string } {
  if (name === undefined) return { file: `${place.replaceAll(/\W/g, '-')}.ts`, source: `${code}\nexport {}\n` }
  const prelude = PRELUDES[setup]
  if (prelude === undefined) throw new Error(`${place}: there is no setup=${setup}`)
  const exported = setup === 'none' ? 'app, orm' : 'app, orm, logs'
  return { file: `${name}.ts`, source: `${prelude}\n${code}\nexport { ${exported} }\n` }
}

/** Runs an example. */
async function run (fence: Fence, folder: string): Promise<Example> {
  return await import(runnable(fence, folder)) as Example
}

/** Runs an example, and has what is claimed of it checked. Asserts that it leaves no scope behind. */
export async function check (t: Test, fence: Fence, folder: string, claim: ((t: Test, example: Example) => Promise<void>) | undefined): Promise<void> {
  const example = await run(fence, folder)
  const { app, orm } = example
  t.teardown(async () => {
    await app.close()
    await orm.close()
  })
  await claim?.(t, example)
  for (let attempt = 0; attempt < 100 && app.db.openScopes > 0; attempt++) await sleep(5)
  t.equal(app.db.openScopes, 0, 'nothing is left behind')
}

/** Writes an example that can be run: on any free port, and with this package's sources in the place of the package. Gives its path. */
export function runnable (fence: Fence, folder: string): string {
  const { file, source } = moduleOf(fence)
  const path = join(folder, file)
  const [plugin, testing, opentelemetry, inspector] = ['plugin.ts', 'testing.ts', 'opentelemetry.ts', 'inspector.ts'].map(entry => relative(folder, join(ROOT, entry)))
  writeFileSync(path, source
    .replaceAll("'fastify-scoped-db'", `'${plugin}'`)
    .replaceAll("'fastify-scoped-db/testing'", `'${testing}'`)
    .replaceAll("'fastify-scoped-db/opentelemetry'", `'${opentelemetry}'`)
    .replaceAll("'fastify-scoped-db/inspector'", `'${inspector}'`)
    .replaceAll('port: 3000', 'port: 0'))
  return path
}

/** What the compiler says of these fences together. An augmentation in one holds for all of them. */
export function typeErrors (fences: Fence[], folder: string): string[] {
  const files = fences.map(fence => {
    const { file, source } = moduleOf(fence)
    writeFileSync(join(folder, file), source)
    return join(folder, file)
  })
  return typeErrorsOf(files)
}

/** What the compiler says of these files together. */
export function typeErrorsOf (files: string[], options: ts.CompilerOptions = {}): string[] {
  const program = ts.createProgram(files, { ...compilerOptions(), ...options })
  return ts.getPreEmitDiagnostics(program).map(({ file, messageText }) =>
    `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
}

function compilerOptions (): ts.CompilerOptions {
  const config = ts.getParsedCommandLineOfConfigFile(join(ROOT, 'tsconfig.json'), {
    // With both, the package's own name leads to plugin.ts, so that nothing has to be built first.
    rootDir: ROOT,
    outDir: join(ROOT, 'dist'),
    // The prelude offers more than each example uses.
    noUnusedLocals: false,
    noUnusedParameters: false
  }, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} })
  if (config === undefined) throw new Error('tsconfig.json cannot be read')
  return config.options
}
