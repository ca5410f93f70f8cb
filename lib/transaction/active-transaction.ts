import type { SessionContext, Transaction, TransactionEventType } from '@mikro-orm/core'
import type { ControlledTransaction } from 'kysely'
import { debug } from '../debug.ts'
import { TRANSACTION } from '../diagnostics/channels.ts'
import { about, type Origin, type TransactionMessage } from '../diagnostics/messages.ts'
import { Trace } from '../diagnostics/trace.ts'
import type { Driver, TransactionStatus } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import { CommitUnknownError } from '../errors/errors.ts'
import type { Outcome } from '../types.ts'
import type { BeginOptions } from './begin-options.ts'
import { assertCausal } from './causal-reads.ts'
import { connecting } from './connecting.ts'
import { commitError, rollbackOnly } from './errors.ts'
import { remembering } from './prepared-query.ts'
import type { SqlConnection } from './sql-connection.ts'
import type { ConnectionPool } from './connection-pool.ts'
import type { ConnectionSource } from './connection-source.ts'
import type { Statement } from './statement.ts'
import type { ConnectionInUse, ConnectionOwner, PooledConnection } from './pooled-connection.ts'

/** What MikroORM's subscribers are told of, by its name there. */
export type TransactionEvent = `${TransactionEventType}`

export interface BeginSettings extends BeginOptions {
  readonly connection: SqlConnection
  /** Given, it says which connection that is. */
  readonly source?: ConnectionSource | undefined
  /** Is told the position of each commit that has written. */
  readonly committed?: ((position: string) => void) | undefined
  readonly pool: ConnectionPool
  readonly origin: Origin
  /** Tells MikroORM's subscribers. Gives nothing where there is nothing to wait for. */
  readonly announce?: ((event: TransactionEvent, trx?: Transaction) => Promise<void> | undefined) | undefined
  /** What row level security is to know of the session, when it begins. */
  readonly sessionContext?: (() => SessionContext | undefined) | undefined
  /** Takes what a subscriber throws where nothing can be changed any more. */
  readonly report: (error: unknown) => void
}

const BEFORE = { commit: 'beforeTransactionCommit', rollback: 'beforeTransactionRollback' } as const
const AFTER = { commit: 'afterTransactionCommit', rollback: 'afterTransactionRollback' } as const

/** Stands for the error of a statement that nobody has told of. */
const UNTOLD = new Error('a statement has failed')

const MARK = 'fastify_scoped_db_mark'

/** A transaction whose BEGIN was sent, and the connection that it has until its end. */
export class ActiveTransaction {
  readonly kysely: ControlledTransaction<unknown>
  readonly #settings: BeginSettings
  readonly #connection: PooledConnection
  readonly #driver: Driver
  readonly #trace: Trace<TransactionMessage> | undefined
  /** What has made it `failed`. */
  #failure: unknown
  #isCommitting = false

  private constructor (kysely: ControlledTransaction<unknown>, settings: BeginSettings, connection: PooledConnection, trace: Trace<TransactionMessage> | undefined) {
    this.kysely = kysely
    this.#settings = settings
    this.#connection = connection
    this.#driver = driverOf(settings.connection.getClient().getExecutor())
    this.#trace = trace
  }

  /** Takes a connection and sends BEGIN, which proves that it leads to a server. When that fails it is destroyed, since nobody knows what is open on it. */
  static async begin (settings: BeginSettings, owner: ConnectionOwner): Promise<ActiveTransaction> {
    const { source, pool, isolationLevel, readOnly, causalReads = false, announce } = settings
    if (source !== undefined) await source.choose()
    const connection = source?.connection ?? settings.connection
    await connection.ensureConnection()
    await connecting(connection)
    if (causalReads) await assertCausal(connection, settings.origin.database, pool)
    await announce?.('beforeTransactionStart')
    const active = await pool.acquire(owner, async pooled => {
      let builder = pooled.kysely.startTransaction()
      if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel)
      if (readOnly === true) builder = builder.setAccessMode('read only')
      debug('BEGIN')
      pooled.isInTransaction = true
      const trace = traceOf(settings)
      return new ActiveTransaction(await pooled.begin(() => builder.execute(), causalReads).catch((error: unknown) => {
        trace?.end({ error })
        throw error
      }), settings, pooled, trace)
    }, causalReads)
    try {
      for (const sql of connection.getPlatform().getBeginTransactionSQL(settings)) active.#log(sql)
      const context = settings.sessionContext?.()
      if (context !== undefined) await connection.applySessionContext(remembering(active.kysely), context)
      await active.#tell('afterTransactionStart')
      return active
    } catch (error) {
      await Promise.allSettled([active.rollback()])
      throw error
    }
  }

  /**
   * Tells MikroORM's subscribers what is to come, as its own transactions do. A subscriber can stop a commit by throwing here,
   * but not a rollback.
   */
  announce (how: Outcome): Promise<void> | undefined {
    return how === 'commit' ? this.#tell(BEFORE[how]) : this.#report(BEFORE[how])
  }

  /** Writes to MikroORM's query log, and tells its subscribers, what has been done. Nothing can be taken back any more. */
  announceDone (how: Outcome): Promise<void> | undefined {
    const platform = this.#settings.connection.getPlatform()
    this.#log(how === 'commit' ? platform.getCommitTransactionSQL() : platform.getRollbackTransactionSQL())
    return this.#report(AFTER[how])
  }

  /**
   * Sends COMMIT, and gives the connection back only when nothing is open on it any more.
   * @param hasWritten whether anybody may want to read what is committed
   * @throws CommitUnknownError when nobody knows whether the COMMIT was carried out
   * @throws what the database says; it is then rolled back
   */
  async commit (hasWritten = true): Promise<void> {
    debug('COMMIT')
    this.#isCommitting = true
    const { committed, readOnly } = this.#settings
    let position: string | undefined
    try {
      position = await this.#connection.commit(() => this.kysely.commit().execute(), hasWritten && readOnly !== true && committed !== undefined)
    } catch (error) {
      debug('COMMIT failed: %s', String(error))
      const reason = commitError(error, this.#driver)
      if (reason instanceof CommitUnknownError) {
        this.#trace?.end({ outcome: 'unknown', error: reason })
        await this.#connection.destroy()
      } else await this.rollback(reason).catch(() => undefined)
      throw reason
    }
    this.#trace?.end({ outcome: 'commit' })
    if (position) committed?.(position)
    await this.#connection.release()
  }

  /**
   * Marks the transaction, by a savepoint that the database keeps for as long as it is in it, or by its name where savepoints cannot be released.
   * @returns a look whether the database is still in the transaction that was marked, which takes the mark away
   */
  async mark (name = MARK): Promise<() => Promise<boolean>> {
    const { transactionId } = this.#driver
    if (transactionId !== undefined) return await this.#remember(transactionId)
    await this.kysely.savepoint(name).execute()
    return async () => this.failure !== undefined || await goesThrough(this.kysely.releaseSavepoint(name as never).execute())
  }

  async #remember (transactionId: string): Promise<() => Promise<boolean>> {
    const ask = async () => (await this.kysely.executeQuery(rawQuery<{ id: unknown }>(transactionId))).rows[0]?.id
    const marked = await ask()
    return async () => marked !== null && await ask() === marked
  }

  /** Whether the database is in a transaction: outside any it keeps no mark. */
  async isOpen (): Promise<boolean> {
    try {
      const isMarked = await this.mark('fastify_scoped_db_open')
      return await isMarked()
    } catch {
      return false
    }
  }

  /** Whether it is still one, as far as that is known without asking. */
  async status (): Promise<TransactionStatus | undefined> {
    return this.#connection.status ?? this.#driver.nativeStatus(await nativeClient(this.#settings.connection))
  }

  /** Why nothing but a rollback goes through, of all or to a savepoint, where databases leave nothing else. */
  get failure (): unknown {
    const { status } = this.#connection
    return status === undefined ? this.#failure : status === 'failed' ? this.#failure ?? UNTOLD : undefined
  }

  /** Is told what a statement has failed with. */
  statementFailed (error: unknown): void {
    const { status } = this.#connection
    if (status === undefined ? this.#driver.failsTransaction(error as Error) : status === 'failed') this.#failure ??= error
  }

  /** Is told what has gone through. */
  statementSucceeded (statement: Statement): void {
    if (this.#failure !== undefined && statement.recovers) this.#failure = undefined
  }

  /** @throws RollbackOnlyError once it has failed, for all but a rollback to a savepoint */
  assertNotFailed (statement: Statement): void {
    const { failure } = this
    if (failure !== undefined && !statement.recovers) throw rollbackOnly(failure)
  }

  /** Its connection does not go back to the pool. */
  taint (): void {
    this.#connection.taint()
  }

  /** Whether it waits on this connection for the answer to its COMMIT. */
  commitsOn (connection: ConnectionInUse): boolean {
    return this.#isCommitting && this.has(connection)
  }

  /** Whether it is this connection that it has. */
  has (connection: ConnectionInUse): boolean {
    return this.#connection === connection
  }

  /**
   * Sends ROLLBACK, and gives the connection back. One that cannot even roll back is destroyed, which closes it where its driver can
   * (see `ConnectionInUse`), and so rolls back on the server.
   * @param refusal what the database has said to a COMMIT before it
   * @throws what the database says; whatever it was, nothing is open afterwards
   */
  async rollback (refusal?: unknown): Promise<void> {
    debug('ROLLBACK')
    try {
      await this.#connection.command('rollback', () => this.kysely.rollback().execute())
      this.#trace?.end({ outcome: 'rollback', error: refusal })
    } catch (error) {
      debug('ROLLBACK failed: %s', String(error))
      this.#trace?.end({ outcome: 'rollback', error: refusal ?? error })
      await this.#connection.destroy()
      throw error
    }
    await this.#connection.release()
  }

  #report (event: TransactionEvent): Promise<void> | undefined {
    return this.#tell(event)?.catch(error => this.#settings.report(error))
  }

  #tell (event: TransactionEvent): Promise<void> | undefined {
    return this.#settings.announce?.(event, this.kysely)
  }

  #log (sql: string): void {
    this.#settings.connection['logQuery'](sql)
  }
}

function traceOf ({ isolationLevel, readOnly = false, origin }: BeginSettings): Trace<TransactionMessage> | undefined {
  return TRANSACTION.hasSubscribers ? new Trace(TRANSACTION, { ...about(origin), isolationLevel, readOnly }) : undefined
}

async function goesThrough (command: Promise<unknown>): Promise<boolean> {
  try {
    await command
    return true
  } catch {
    return false
  }
}

async function nativeClient (connection: SqlConnection): Promise<unknown> {
  try {
    return await connection.getNativeClient()
  } catch {
    // The application brought a Kysely of its own.
    return undefined
  }
}
