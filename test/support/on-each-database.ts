import type { Options as CoreOptions } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { availableKinds, createDatabase, type Kind, type SqlORM, type TestDatabase } from './databases.ts'
import { dialectOf, type Dialect } from './dialect.ts'
import { isMeant, otherDriver } from './drivers.ts'
import { ItemSchema } from './entities.ts'

declare module '../../plugin.ts' {
  interface Databases {
    default: SqlEntityManager
  }
}

/** What a test works with: an application of its own on a database of its own. */
export interface Stage {
  readonly kind: Kind
  /** How the server is spoken to. There is none for SQLite. */
  readonly dialect: Dialect
  readonly database: TestDatabase
  readonly orm: SqlORM
  /** The application, with the plugin registered and not yet started. */
  readonly app: FastifyInstance
  /** What the application has logged. */
  readonly logs: LogLine[]
  /** The labels that are committed, in alphabetical order. */
  labels (): Promise<string[]>
  /** Registers one more database, of the same kind, under another name. */
  addDatabase (name: string, options?: Omit<ScopedDbOptions, 'orm' | 'name'>): Promise<OtherDatabase>
  /** Starts the application on a real socket. */
  listen (): Promise<{ origin: string, port: number }>
  /** Asserts that nothing is left behind. Called at the end of every test as well. */
  assertClean (): Promise<void>
}

/** A database beside the one that the stage is for. */
export interface OtherDatabase {
  readonly database: TestDatabase
  readonly orm: SqlORM
  /** The labels that are committed in it, in alphabetical order. */
  labels (): Promise<string[]>
}

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [key: string]: unknown
}

export interface StageOptions {
  readonly plugin?: Omit<ScopedDbOptions, 'orm'>
  readonly fastify?: FastifyServerOptions
  readonly orm?: Partial<CoreOptions>
  readonly kinds?: Kind[]
}

/** How many milliseconds a test may take before it counts as hanging: fails by its name, long before its whole file would. */
const TIMEOUT = Number(process.env['TEST_TIMEOUT'] ?? 60_000)

/** As in production: the log of a test is its own, and nobody listens to a channel unless it does. */
const QUIET = { warnings: false }

let registered = 0

/** How many tests there are on databases, up to now. */
export function registeredTests (): number {
  return registered
}

/** Runs a test on every database that there is, and asserts after each that no scope, transaction or connection is left. */
export function onEachDatabase (name: string, options: StageOptions, run: (t: Test, stage: Stage) => Promise<void>): void {
  for (const kind of availableKinds().filter(kind => isMeant(kind, options.kinds))) {
    registered++
    void t.test(`${name} [${otherDriver() ?? kind}]`, { timeout: TIMEOUT }, async t => {
      const stage = await createStage(t, kind, options)
      await run(t, stage)
      await stage.assertClean()
    })
  }
}

async function createStage (t: Test, kind: Kind, options: StageOptions): Promise<Stage> {
  const database = await createDatabase(kind)
  const orm = await database.connect(options.orm)
  const logs: LogLine[] = []
  const logger = { level: 'info', stream: { write: (line: string) => { logs.push(JSON.parse(line) as LogLine) } } }
  const app = Fastify({ logger, ...options.fastify } as object) as FastifyInstance
  await app.register(scopedDb, { ...QUIET, orm, ...options.plugin } as ScopedDbOptions)
  const all = [{ database, orm }]
  t.teardown(async () => {
    await app.close()
    for (const { database, orm } of all) {
      await orm.close()
      await database.drop()
    }
  })
  return {
    kind,
    dialect: dialectOf(kind),
    database,
    orm,
    app,
    logs,
    labels: async () => await labelsIn(database),
    async addDatabase (name, options) {
      const database = await createDatabase(kind)
      const orm = await database.connect()
      all.push({ database, orm })
      await app.register(scopedDb, { ...QUIET, orm, name, ...options } as ScopedDbOptions)
      return { database, orm, labels: async () => await labelsIn(database) }
    },
    async listen () {
      const origin = await app.listen({ port: 0, host: '127.0.0.1' })
      return { origin, port: Number(new URL(origin).port) }
    },
    async assertClean () {
      t.same(await leftovers(app, all), [], 'no scope, transaction or connection is left behind')
    }
  }
}

async function labelsIn ({ witness }: TestDatabase): Promise<string[]> {
  const items = await witness.em.fork().find(ItemSchema, {}, { orderBy: { label: 'asc' } })
  return items.map(item => item.label)
}

/** Teardown may end a little after the reply: what counts is that it ends. */
async function leftovers (app: FastifyInstance, all: { database: TestDatabase, orm: SqlORM }[]): Promise<string[]> {
  let found: string[] = []
  for (let attempt = 0; attempt < 500; attempt++) {
    found = (await Promise.all(all.map(({ database, orm }) => database.leftovers(orm)))).flat()
    if (app.db.openScopes > 0) found.push(`${app.db.openScopes} open scopes`)
    if (found.length === 0) break
    await sleep(10)
  }
  return found
}
