/** BEGIN and a first statement, in one message and in two, on the same tables in two databases. */
import type { Options } from '@mikro-orm/core'
import { CompiledQuery, type DatabaseConnection, type QueryResult } from 'kysely'
import type { Test } from 'tap'
import type { Combined, Destination, Driver } from '../../lib/drivers/contracts.ts'
import { driverOf } from '../../lib/drivers/drivers.ts'
import { createDatabase, type Kind, type SqlORM, type TestDatabase } from './databases.ts'

/** What a statement has come to. */
export interface Outcome {
  /** Whether it went together with its BEGIN. */
  readonly isCombined: boolean
  readonly result?: QueryResult<unknown>
  /** What the driver has put into the error, without what names this database. */
  readonly error?: object
  /** What the server says of it. */
  readonly warnings: unknown
  /** What is in the tables, for the transaction. */
  readonly inside: unknown
}

export interface Side {
  readonly database: TestDatabase
  readonly orm: SqlORM
  readonly driver: Driver
  /** The version of the server, as the driver is asked for it. */
  readonly version: string | undefined
  /** Gives a connection of the pool, as the driver has it. */
  use<T> (work: (connection: DatabaseConnection) => Promise<T>): Promise<T>
  beginWith (connection: DatabaseConnection, sql: string, begin?: readonly string[]): Combined | undefined
  /** Begins a transaction with a statement, and rolls it back. */
  apart (sql: string, begin?: readonly string[]): Promise<Outcome>
  together (sql: string, begin?: readonly string[]): Promise<Outcome>
  /** What is committed. */
  committed (): Promise<unknown>
}

export interface SideOptions {
  readonly setUp: readonly string[]
  /** The column that each table generates. */
  readonly generated: Readonly<Record<string, string | null>>
  /** What is sent on each new connection. */
  readonly setting?: string | undefined
  /** What to connect to, and how. */
  readonly options?: Partial<Options> | undefined
}

export async function openSide (t: Test, kind: Kind, { setUp, generated, setting, options }: SideOptions): Promise<Side> {
  const database = await createDatabase(kind)
  const onCreateConnection = async (connection: unknown) => { if (setting !== undefined) await (connection as DatabaseConnection).executeQuery(raw(setting)) }
  const orm = await database.connect({ onCreateConnection, ...options } as Partial<Options>)
  t.teardown(async () => {
    await orm.close()
    await database.drop()
  })
  for (const sql of setUp) await database.witness.driver.execute(sql)
  const tables = Object.keys(generated)
  const connection = orm.driver.getConnection()
  await connection.execute('select 1')
  const executor = connection.getClient<unknown>().getExecutor()
  const driver = driverOf(executor)
  const use: Side['use'] = work => executor.provideConnection(work)
  const { rows: [own] } = await use(connection => connection.executeQuery<{ version?: string }>(raw(String(driver.processes?.ownId))))
  const version = own?.version
  const destination = { version, generatedColumn: table => generated[table] } satisfies Omit<Destination, 'connection'>
  const beginWith: Side['beginWith'] = (connection, sql, begin = ['begin']) => driver.beginWith(begin, raw(sql), { ...destination, connection })
  const contents = async (execute: (sql: string) => Promise<unknown>) => await Promise.all(tables.map(async table => await execute(`select * from ${table} order by 1`)))

  /** Without the name of this database. */
  const redacted = <T>(said: T) => JSON.parse(JSON.stringify(said).replaceAll(String(database.options.dbName), 'DATABASE')) as T

  async function run (connection: DatabaseConnection, isCombined: boolean, send: () => Promise<QueryResult<unknown>>): Promise<Outcome> {
    const execute = async (sql: string) => (await connection.executeQuery(raw(sql))).rows
    const answer = await send().then(result => ({ result }), (error: Error) => ({ error: redacted(described(error)) }))
    const isFailed = kind === 'postgresql' && 'error' in answer
    const warnings = kind === 'mysql' ? redacted(await execute('show warnings') as { Code: number }[]).filter(({ Code }) => Code !== IN_BLOCK) : []
    const inside = isFailed ? [] : await contents(execute)
    await execute('rollback')
    return { isCombined, ...answer, warnings, inside }
  }

  async function apart (connection: DatabaseConnection, sql: string, begin: readonly string[]): Promise<Outcome> {
    for (const one of begin) await connection.executeQuery(raw(one))
    return await run(connection, false, () => connection.executeQuery(raw(sql)))
  }

  return {
    database,
    orm,
    driver,
    version,
    use,
    beginWith,
    apart: (sql, begin = ['begin']) => use(connection => apart(connection, sql, begin)),
    together: (sql, begin = ['begin']) => use(async connection => {
      const combined = beginWith(connection, sql, begin)
      if (combined === undefined) return await apart(connection, sql, begin)
      try {
        const result = combined.answer(await connection.executeQuery(combined.query))
        if (result !== undefined) return await run(connection, true, async () => result)
        await connection.executeQuery(raw('rollback'))
        return await apart(connection, sql, begin)
      } catch (error) {
        if (!await hasBegun(driver, connection, combined)) return await apart(connection, sql, begin)
        combined.restore(error as Error)
        return await run(connection, true, async () => { throw error })
      }
    }),
    committed: () => contents(sql => database.witness.driver.execute(sql))
  }
}

/** MariaDB says where in a compound statement it was. */
const IN_BLOCK = 4094

export function raw (sql: string): CompiledQuery<never> {
  return CompiledQuery.raw(sql)
}

/** Whether the transaction is open, after an error, as a caller of the driver's has to ask. */
export async function hasBegun (driver: Driver, connection: DatabaseConnection, { hasBegun }: Combined): Promise<boolean> {
  if (hasBegun === undefined) return driver.physical(connection)?.status === 'failed'
  const { rows: [row] } = await connection.executeQuery<{ begun: number }>(raw(hasBegun))
  return Number(row?.begun) === 1
}

/** Without what says where in the driver and in the server it came up, and how many bytes that are. */
function described (error: Error): object {
  const { stack, file, line, routine, length, ...said } = { ...error, message: error.message } as unknown as Record<string, unknown>
  return said
}
