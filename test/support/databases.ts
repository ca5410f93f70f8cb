import type { MikroORM as BaseORM } from '@mikro-orm/core'
import { type Options } from '@mikro-orm/core'
import { MikroORM as MySqlORM, type AbstractSqlDriver, type SqlEntityManager } from '@mikro-orm/mysql'
import { MikroORM as PostgreSqlORM } from '@mikro-orm/postgresql'
import { MikroORM as SqliteORM } from '@mikro-orm/sqlite'
import type { Pool } from 'mysql2'
import type { Pool as PgPool } from 'pg'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OTHER_DRIVERS, otherDriver, type Kind } from './drivers.ts'
import { ItemSchema, PartSchema } from './entities.ts'
import { createPglite } from './pglite.ts'
import { mysqlUrl, postgresqlUrl } from './server-urls.ts'

export type { Kind } from './drivers.ts'

/** A MikroORM of any SQL driver. */
export type SqlORM = BaseORM<AbstractSqlDriver, SqlEntityManager<AbstractSqlDriver>>

/** Those that are servers, with connections that can be lost. */
export const servers: Kind[] = ['mysql', 'postgresql']

/** One test's own database. */
export interface TestDatabase {
  readonly kind: Kind
  /** Options for a MikroORM on it. */
  readonly options: Options
  /** A MikroORM that the code under test does not know: it sees what is committed. */
  readonly witness: SqlORM
  connect (options?: Partial<Options>): Promise<SqlORM>
  /** What an open transaction or a missing connection looks like: empty when nothing is left behind. */
  leftovers (orm: SqlORM): Promise<string[]>
  drop (): Promise<void>
}

const entities = [ItemSchema, PartSchema]

/** By way of the driver that TEST_DATABASE names, if it names one beside those that all tests run with. */
export async function createDatabase (kind: Kind): Promise<TestDatabase> {
  const driver = otherDriver()
  return await CREATE[driver !== undefined && OTHER_DRIVERS[driver] === kind ? driver : kind]()
}

const CREATE = {
  mysql: () => createMySql(MySqlORM),
  mariadb: async () => await createMySql((await import('@mikro-orm/mariadb')).MikroORM),
  postgresql: createPostgreSql,
  pglite: () => createPglite(entities),
  sqlite: () => createSqlite(SqliteORM),
  libsql: async () => await createSqlite((await import('@mikro-orm/libsql')).MikroORM)
}

/** MikroORM's class for one driver. */
interface ORMClass {
  init (options: never): Promise<unknown>
}

/** The databases that this run has. One is missing only where test/support/run-with-servers.ts has said so, loudly. TEST_DATABASE leaves only one. */
export function availableKinds (): Kind[] {
  const kinds: Kind[] = ['sqlite']
  if (mysqlUrl() !== undefined) kinds.push('mysql')
  if (postgresqlUrl() !== undefined) kinds.push('postgresql')
  const driver = otherDriver()
  const only = driver === undefined ? process.env['TEST_DATABASE'] : OTHER_DRIVERS[driver]
  // The one that needs no server.
  if (driver === 'pglite') return [OTHER_DRIVERS[driver]]
  if (only && !kinds.some(kind => kind === only)) throw new Error(`TEST_DATABASE=${only}: there is only ${kinds.join(' and ')}`)
  return kinds.filter(kind => !only || kind === only)
}

/**
 * A test's own database, as far as that is the same for all.
 * @param forWitness more options for the connection of the witness
 */
export async function openTestDatabase (ORM: ORMClass, options: object, forWitness?: object): Promise<Pick<TestDatabase, 'options' | 'witness' | 'connect'>> {
  const connect = (more?: object) => ORM.init({ ...options, ...more } as never) as unknown as Promise<SqlORM>
  const witness = await connect(forWitness)
  await createTables(witness)
  return { options: { ...options, driver: witness.config.get('driver') } as unknown as Options, witness, connect }
}

async function createSqlite (ORM: ORMClass): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const opened = await openTestDatabase(ORM, { entities, dbName: join(folder, 'test.db') })
  const { witness } = opened
  await witness.driver.execute('pragma journal_mode = wal')
  return {
    kind: 'sqlite',
    ...opened,
    async leftovers (orm) {
      const { inTransaction } = await orm.driver.getConnection().getNativeClient() as { inTransaction: boolean }
      return inTransaction ? ['an open transaction'] : []
    },
    async drop () {
      await witness.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function createMySql (ORM: ORMClass): Promise<TestDatabase> {
  const name = `scoped_db_${randomBytes(6).toString('hex')}`
  const opened = await openTestDatabase(ORM, { entities, clientUrl: mysqlUrl(), dbName: name, pool: { max: 10 } }, { ensureDatabase: true })
  const { witness } = opened
  return {
    kind: 'mysql',
    ...opened,
    async leftovers (orm) {
      const found: string[] = []
      const transactions = await openTransactions(witness, name)
      if (transactions > 0) found.push(`${transactions} open transactions`)
      const pool = await orm.driver.getConnection().getNativeClient() as Pool & Record<'_allConnections' | '_freeConnections' | '_connectionQueue', { length: number }>
      const busy = pool._allConnections.length - pool._freeConnections.length
      if (busy > 0) found.push(`${busy} connections that are not back in the pool`)
      if (pool._connectionQueue.length > 0) found.push(`${pool._connectionQueue.length} waiting for a connection`)
      return found
    },
    async drop () {
      await witness.driver.execute(`drop database \`${name}\``)
      await witness.close()
    }
  }
}

async function createPostgreSql (): Promise<TestDatabase> {
  const name = `scoped_db_${randomBytes(6).toString('hex')}`
  const options = { entities, clientUrl: postgresqlUrl(), dbName: name, pool: { max: 10 } }
  const opened = await openTestDatabase(PostgreSqlORM, options, { ensureDatabase: true })
  const { witness } = opened
  return {
    kind: 'postgresql',
    ...opened,
    async leftovers (orm) {
      const found: string[] = []
      const transactions = await witness.driver.execute("select 1 from pg_stat_activity where datname = ? and pid <> pg_backend_pid() and state <> 'idle' and xact_start is not null", [name])
      if (transactions.length > 0) found.push(`${transactions.length} open transactions`)
      const { totalCount, idleCount, waitingCount } = await orm.driver.getConnection().getNativeClient() as PgPool
      if (totalCount > idleCount) found.push(`${totalCount - idleCount} connections that are not back in the pool`)
      if (waitingCount > 0) found.push(`${waitingCount} waiting for a connection`)
      return found
    },
    async drop () {
      await witness.close()
      const admin = await PostgreSqlORM.init({ ...options, dbName: 'postgres' } as never)
      await admin.driver.execute(`drop database "${name}" with (force)`)
      await admin.close()
    }
  }
}

/**
 * Counts the transactions that connections to this database have open. What InnoDB's monitor prints is always new, while
 * information_schema.innodb_trx shows the same old rows for as long as somebody has read it within the last 100 ms.
 */
async function openTransactions (orm: SqlORM, name: string): Promise<number> {
  const connections = await orm.driver.execute<{ id: number }[]>('select id from information_schema.processlist where db = ? and id <> connection_id()', [name])
  const ids = new Set(connections.map(({ id }) => Number(id)))
  const [monitor] = await orm.driver.execute<{ Status: string }[]>('show engine innodb status')
  const transactions = monitor?.Status.split('---TRANSACTION').slice(1) ?? []
  return transactions.filter(text => /^[^\n]*ACTIVE/.test(text) && ids.has(Number(/thread id (\d+)/.exec(text)?.[1]))).length
}

export async function createTables (orm: SqlORM): Promise<void> {
  const generator = orm.config.getExtension<{ create (): Promise<void> }>('@mikro-orm/schema-generator')
  await generator?.create()
}
