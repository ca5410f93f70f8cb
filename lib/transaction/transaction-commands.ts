import type { CompiledQuery, ControlledTransaction, Kysely, QueryResult } from 'kysely'
import { driverOf } from '../drivers/drivers.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import type { BeginOptions } from './begin-options.ts'
import type { PooledConnection } from './pooled-connection.ts'
import type { SqlPlatform } from './sql-connection.ts'

/** How a transaction is begun and ended on one connection. */
export interface TransactionCommands {
  begin (options: BeginOptions): Promise<unknown>
  /**
   * @param untold given, it is to say where in the server's log that is; is called with the error where only that has failed
   * @returns that, if it does
   */
  commit (untold?: (error: unknown) => void): Promise<string | undefined>
  rollback (): Promise<unknown>
  savepoint (name: string): Promise<unknown>
  releaseSavepoint (name: string): Promise<unknown>
  rollbackToSavepoint (name: string): Promise<unknown>
}

/** As the driver of the connection's client has it. */
export function commandsOn (connection: PooledConnection, platform: SqlPlatform): TransactionCommands {
  return connection.kysely === undefined ? new SqlCommands(connection, platform) : new KyselyCommands(connection, connection.kysely)
}

/** Statements, as MikroORM writes them to its query log. */
class SqlCommands implements TransactionCommands {
  readonly #connection: PooledConnection
  readonly #platform: SqlPlatform

  constructor (connection: PooledConnection, platform: SqlPlatform) {
    this.#connection = connection
    this.#platform = platform
  }

  async begin (options: BeginOptions): Promise<void> {
    const causal = options.causalReads === true ? this.#connection.driver.causalReads?.begin : undefined
    for (const sql of this.#platform.getBeginTransactionSQL(options)) await this.#send(sql === 'begin' ? causal ?? sql : sql)
  }

  async commit (untold?: (error: unknown) => void): Promise<string | undefined> {
    const { connection, driver: { replication } } = this.#connection
    if (untold === undefined || replication === undefined) {
      await this.#send(this.#platform.getCommitTransactionSQL())
      return undefined
    }
    const answer = replication.listen(connection)
    try {
      return answer.positionIn(await this.#send(replication.commit))
    } catch (error) {
      if (!answer.isCommitted) throw error
      untold(error)
      return undefined
    }
  }

  rollback (): Promise<unknown> {
    return this.#send(this.#platform.getRollbackTransactionSQL())
  }

  savepoint (name: string): Promise<unknown> {
    return this.#connection.send(rawQuery(this.#platform.getSavepointSQL(name)))
  }

  releaseSavepoint (name: string): Promise<unknown> {
    return this.#connection.send(rawQuery(this.#platform.getReleaseSavepointSQL(name)))
  }

  rollbackToSavepoint (name: string): Promise<unknown> {
    return this.#connection.send(rawQuery(this.#platform.getRollbackToSavepointSQL(name)))
  }

  #send (sql: string): Promise<QueryResult<unknown>> {
    let query = QUERIES.get(sql)
    if (query === undefined) QUERIES.set(sql, query = rawQuery(sql))
    return this.#connection.send(query)
  }
}

/** What begins and ends transactions: a few texts, made once. */
const QUERIES = new Map<string, CompiledQuery>()

const BY_KYSELY = new WeakSet<Kysely<unknown>>()

/** The driver of this client is to be asked for transactions, whatever the database takes. */
export function beginByKysely (client: Kysely<unknown>): void {
  BY_KYSELY.add(client)
}

/** Whether it is Kysely's driver that begins transactions: then it is to be asked for the connection, too. */
export function beginsByKysely (client: Kysely<unknown>): boolean {
  return driverOf(client.getExecutor()).begins !== 'in SQL' || BY_KYSELY.has(client)
}

/** Kysely's driver, where that has other means than statements, or nobody knows which it has. */
class KyselyCommands implements TransactionCommands {
  readonly #connection: PooledConnection
  readonly #kysely: Kysely<unknown>
  #transaction: ControlledTransaction<unknown> | undefined

  constructor (connection: PooledConnection, kysely: Kysely<unknown>) {
    this.#connection = connection
    this.#kysely = kysely
  }

  async begin ({ isolationLevel, readOnly }: BeginOptions): Promise<void> {
    let builder = this.#kysely.startTransaction()
    if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel)
    if (readOnly === true) builder = builder.setAccessMode('read only')
    this.#transaction = await this.#connection.command('begin', () => builder.execute())
  }

  async commit (): Promise<undefined> {
    await this.#connection.command('commit', () => this.#begun.commit().execute())
  }

  rollback (): Promise<unknown> {
    return this.#connection.command('rollback', () => this.#begun.rollback().execute())
  }

  savepoint (name: string): Promise<unknown> {
    return this.#begun.savepoint(name).execute()
  }

  releaseSavepoint (name: string): Promise<unknown> {
    return this.#begun.releaseSavepoint(name as never).execute()
  }

  rollbackToSavepoint (name: string): Promise<unknown> {
    return this.#begun.rollbackToSavepoint(name as never).execute()
  }

  get #begun (): ControlledTransaction<unknown> {
    return this.#transaction as ControlledTransaction<unknown>
  }
}
