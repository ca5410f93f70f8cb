import type { SessionContext, Transaction, TransactionEventType } from '@mikro-orm/core'
import { debug } from '../debug.ts'
import { TRANSACTION } from '../diagnostics/channels.ts'
import { about, type Origin, type TransactionMessage } from '../diagnostics/messages.ts'
import { Trace } from '../diagnostics/trace.ts'
import type { Destination, TransactionStatus } from '../drivers/contracts.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import { CommitUnknownError } from '../errors/errors.ts'
import type { Outcome } from '../types.ts'
import type { BeginOptions } from './begin-options.ts'
import { connecting } from './connecting.ts'
import { commitError, rollbackOnly } from './errors.ts'
import { kyselyOn } from './kysely-on.ts'
import { remembering } from './prepared-query.ts'
import { nativeClient, type SqlConnection } from './sql-connection.ts'
import type { ConnectionPool, InTime } from './connection-pool.ts'
import type { FirstStatement } from './first-statement.ts'
import type { Statement } from './statement.ts'
import type { ConnectionOwner, PooledConnection } from './pooled-connection.ts'
import { commandsOn, type TransactionCommands } from './transaction-commands.ts'

/** What MikroORM's subscribers are told of, by its name there. */
export type TransactionEvent = `${TransactionEventType}`

export interface BeginSettings extends BeginOptions {
  readonly connection: SqlConnection
  readonly pool: ConnectionPool
  readonly origin: Origin
  /** Tells MikroORM's subscribers. Gives nothing where there is nothing to wait for. */
  readonly announce?: ((event: TransactionEvent, trx?: () => Transaction) => Promise<void> | undefined) | undefined
  /** Given, BEGIN may travel with the first statement: the column of a table that the database generates, as far as that is known. */
  readonly generatedColumn?: Destination['generatedColumn'] | undefined
  /** Whether MikroORM's subscribers are to be told of an event. */
  readonly isHeard?: ((event: TransactionEvent) => boolean) | undefined
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
  readonly connection: PooledConnection
  readonly commands: TransactionCommands
  readonly #settings: BeginSettings
  readonly #trace: Trace<TransactionMessage> | undefined
  /** What has made it `failed`. */
  #failure: unknown
  #isCommitting = false
  #kysely: Transaction | undefined

  private constructor (settings: BeginSettings, connection: PooledConnection, commands: TransactionCommands) {
    this.#settings = settings
    this.connection = connection
    this.commands = commands
    this.#trace = traceOf(settings)
  }

  /**
   * Takes a connection and sends BEGIN, which proves that it leads to a server. When that fails it is destroyed, since nobody knows what is open on it.
   * @param first what BEGIN may travel with
   */
  static async begin (settings: BeginSettings, owner: ConnectionOwner, first?: FirstStatement): Promise<ActiveTransaction> {
    const { connection, pool } = settings
    const platform = connection.getPlatform()
    if (!connection['connected']) await connection.ensureConnection()
    const isConnecting = connecting(connection)
    if (isConnecting !== undefined) await isConnecting
    const announced = settings.announce?.('beforeTransactionStart')
    if (announced !== undefined) await announced
    const active = await pool.acquire(owner, (pooled, inTime) => new ActiveTransaction(settings, pooled, commandsOn(pooled, platform)).#begin(inTime, first))
    try {
      for (const sql of platform.getBeginTransactionSQL(settings)) active.#log(sql)
      const context = settings.sessionContext?.()
      if (context !== undefined) await connection.applySessionContext(remembering(active.kysely()), context)
      const told = active.#tell('afterTransactionStart')
      if (told !== undefined) await told
      return active
    } catch (error) {
      await Promise.allSettled([active.rollback()])
      throw error
    }
  }

  async #begin (inTime: InTime, first?: FirstStatement): Promise<this> {
    debug('BEGIN')
    this.connection.isInTransaction = true
    try {
      if (first === undefined || !await this.#beginWith(first)) await inTime(this.commands.begin(this.#settings))
      return this
    } catch (error) {
      this.#trace?.end({ error })
      throw error
    }
  }

  /** Unless something has to come between the two. */
  async #beginWith (first: FirstStatement): Promise<boolean> {
    const { connection } = this
    const { pool, generatedColumn, sessionContext, isHeard, connection: { getPlatform } } = this.#settings
    const watch = pool.watch(connection.owner)
    if (watch === undefined || generatedColumn === undefined || connection.kysely !== undefined || sessionContext?.() !== undefined || isHeard?.('afterTransactionStart') === true) return false
    const hasBegun = await first.sendWithBegin({ connection, begin: getPlatform.call(this.#settings.connection).getBeginTransactionSQL(this.#settings), generatedColumn, watch })
    this.#failure = first.doubt
    return hasBegun
  }

  /** Kysely in it, for MikroORM and its subscribers. */
  kysely (): Transaction {
    this.#kysely ??= kyselyOn(this.connection)
    return this.#kysely
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
   * @throws CommitUnknownError when nobody knows whether the COMMIT was carried out
   * @throws what the database says; it is then rolled back
   */
  async commit (): Promise<void> {
    debug('COMMIT')
    this.#isCommitting = true
    try {
      await this.commands.commit()
    } catch (error) {
      debug('COMMIT failed: %s', String(error))
      const reason = commitError(error, this.connection.driver)
      if (reason instanceof CommitUnknownError) {
        this.#settings.pool.counts.unknown++
        this.#trace?.end({ outcome: 'unknown', error: reason })
        await this.connection.destroy()
      } else await this.rollback(reason).catch(() => undefined)
      throw reason
    }
    this.#settings.pool.counts.committed++
    this.#trace?.end({ outcome: 'commit' })
    await this.connection.release()
  }

  /**
   * Marks the transaction, by a savepoint that the database keeps for as long as it is in it, or by its name where savepoints cannot be released.
   * @returns a look whether the database is still in the transaction that was marked, which takes the mark away
   */
  async mark (name = MARK): Promise<() => Promise<boolean>> {
    const { transactionId } = this.connection.driver
    if (transactionId !== undefined) return await this.#remember(transactionId)
    await this.commands.savepoint(name)
    return async () => this.failure !== undefined || await goesThrough(this.commands.releaseSavepoint(name))
  }

  async #remember (transactionId: string): Promise<() => Promise<boolean>> {
    const ask = async () => (await this.connection.send(rawQuery<{ id: unknown }>(transactionId))).rows[0]?.id
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
    const { status, driver } = this.connection
    return status ?? driver.nativeStatus(await nativeClient(this.#settings.connection))
  }

  /** Why nothing but a rollback goes through, of all or to a savepoint, where databases leave nothing else. */
  get failure (): unknown {
    const { status } = this.connection
    return status === undefined ? this.#failure : status === 'failed' ? this.#failure ?? UNTOLD : undefined
  }

  /** Is told what a statement has failed with. */
  statementFailed (error: unknown): void {
    const { status } = this.connection
    if (status === undefined ? this.connection.driver.failsTransaction(error as Error) : status === 'failed') this.#failure ??= error
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

  /** Whether it waits for the answer to its COMMIT. */
  get isCommitting (): boolean {
    return this.#isCommitting
  }

  /**
   * Sends ROLLBACK, and gives the connection back. One that cannot even roll back is destroyed, which closes it where its driver can
   * (see `ConnectionInUse`), and so rolls back on the server.
   * @param refusal what the database has said to a COMMIT before it
   * @throws what the database says; whatever it was, nothing is open afterwards
   */
  async rollback (refusal?: unknown): Promise<void> {
    debug('ROLLBACK')
    this.#settings.pool.counts.rolledBack++
    try {
      await this.commands.rollback()
      this.#trace?.end({ outcome: 'rollback', error: refusal })
    } catch (error) {
      debug('ROLLBACK failed: %s', String(error))
      this.#trace?.end({ outcome: 'rollback', error: refusal ?? error })
      await this.connection.destroy()
      throw error
    }
    await this.connection.release()
  }

  #report (event: TransactionEvent): Promise<void> | undefined {
    return this.#tell(event)?.catch(error => this.#settings.report(error))
  }

  #tell (event: TransactionEvent): Promise<void> | undefined {
    return this.#settings.announce?.(event, () => this.kysely())
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
