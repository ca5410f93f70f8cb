import type { Transaction } from '@mikro-orm/core'
import { debug } from '../debug.ts'
import { TRANSACTION } from '../diagnostics/channels.ts'
import { about, type TransactionMessage } from '../diagnostics/messages.ts'
import { Trace } from '../diagnostics/trace.ts'
import type { TransactionStatus } from '../drivers/contracts.ts'
import { CommitUnknownError } from '../errors/errors.ts'
import type { Outcome } from '../types.ts'
import type { BeginSettings, TransactionEvent } from './begin-settings.ts'
import { assertCausal } from './causal-reads.ts'
import { connecting } from './connecting.ts'
import { commitError, positionUntold, rollbackOnly } from './errors.ts'
import { kyselyOn } from './kysely-on.ts'
import { remembering } from './prepared-query.ts'
import { nativeClient } from './sql-connection.ts'
import type { InTime } from './connection-pool.ts'
import type { FirstStatement } from './first-statement.ts'
import type { Statement } from './statement.ts'
import type { ConnectionOwner, PooledConnection } from './pooled-connection.ts'
import { commandsOn, type TransactionCommands } from './transaction-commands.ts'
import { keepsMark, setMark } from './transaction-mark.ts'

const BEFORE = { commit: 'beforeTransactionCommit', rollback: 'beforeTransactionRollback' } as const
const AFTER = { commit: 'afterTransactionCommit', rollback: 'afterTransactionRollback' } as const

/** Stands for the error of a statement that nobody has told of. */
const UNTOLD = new Error('a statement has failed')

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
    const { source, pool, causalReads = false } = settings
    if (source !== undefined) await source.choose()
    const connection = source?.connection ?? settings.connection
    const platform = connection.getPlatform()
    const isConnecting = connecting(connection)
    if (isConnecting !== undefined) await isConnecting
    const announced = settings.announce?.('beforeTransactionStart')
    if (announced !== undefined) await announced
    const active = await pool.acquire(owner, (pooled, inTime) => new ActiveTransaction(settings, pooled, commandsOn(pooled, platform)).#begin(inTime, first), causalReads)
    try {
      for (const sql of platform.getBeginTransactionSQL(settings)) active.#log(sql)
      // What has been answered was sent where there is none; by now there may be no session to ask.
      const context = first?.answer === undefined ? settings.sessionContext?.() : undefined
      if (context !== undefined) await connection.applySessionContext(remembering(active.kysely()), context)
      const told = active.#tell('afterTransactionStart')
      if (told !== undefined) await told
      return active
    } catch (error) {
      // Such as that its scope has ended meanwhile: then nobody waits for the answer to a ROLLBACK.
      pool.destroyLater(owner, connection => connection === active.connection)
      await Promise.allSettled([active.rollback()])
      throw error
    }
  }

  async #begin (inTime: InTime, first?: FirstStatement): Promise<this> {
    debug('BEGIN')
    this.connection.isInTransaction = true
    try {
      const { causalReads, origin, pool } = this.#settings
      if (causalReads === true) await inTime(assertCausal(this.connection, origin.database.name))
      if (first === undefined || !await this.#beginWith(first)) {
        // It may wait for other servers, and then it is not silence that tells of a connection that is lost.
        const watch = causalReads === true ? pool.watch(this.connection.owner) : undefined
        const begin = () => this.commands.begin(this.#settings)
        await inTime(watch?.over(this.connection, begin) ?? begin())
      }
      return this
    } catch (error) {
      this.#trace?.end({ error })
      throw error
    }
  }

  /** Unless something has to come between the two. */
  async #beginWith (first: FirstStatement): Promise<boolean> {
    const { connection } = this
    const { pool, generatedColumn, causalReads, sessionContext, isHeard } = this.#settings
    const watch = pool.watch(connection.owner)
    if (watch === undefined || generatedColumn === undefined || connection.kysely !== undefined || !first.hasPlace()) return false
    if (causalReads === true || sessionContext?.() !== undefined || isHeard?.('afterTransactionStart') === true) return false
    const begin = this.#settings.connection.getPlatform().getBeginTransactionSQL(this.#settings)
    const hasBegun = await first.sendWithBegin({ connection, begin, generatedColumn, watch })
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
   * @param hasWritten whether anybody may want to read what is committed
   * @throws CommitUnknownError when nobody knows whether the COMMIT was carried out
   * @throws what the database says; it is then rolled back
   */
  async commit (hasWritten = true): Promise<void> {
    debug('COMMIT')
    this.#isCommitting = true
    const { committed, readOnly, report } = this.#settings
    let position: string | undefined
    try {
      position = await this.commands.commit(hasWritten && readOnly !== true && committed !== undefined ? error => report(positionUntold(error)) : undefined)
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
    if (position) committed?.(position)
  }

  /**
   * Marks the transaction.
   * @returns a look whether the database is still in the transaction that was marked, which takes the mark away
   */
  mark (): Promise<() => Promise<boolean>> {
    return setMark(this)
  }

  /** Whether the database is in a transaction: outside any it keeps no mark. */
  isOpen (): Promise<boolean> {
    return keepsMark(this)
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
