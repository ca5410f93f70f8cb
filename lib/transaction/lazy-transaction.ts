import type { Transaction } from '@mikro-orm/core'
import { driverError, isAboutConnection } from '../drivers/errors.ts'
import { OpenStreamError } from '../errors/errors.ts'
import { ActiveTransaction } from './active-transaction.ts'
import { ConnectionUser, type ConnectionUserSettings } from './connection-user.ts'
import type { PreparedCommit } from './contracts.ts'
import { hasRolledBack } from './errors.ts'
import type { FirstStatement } from './first-statement.ts'
import { createKyselyTransaction, type UnderlyingTransaction } from './kysely-transaction.ts'
import { RollbackOnly } from './rollback-only.ts'
import { afterOutcome, closed, type PlacementRule } from './statement.ts'
import { StatementRunner, type StatementTransaction } from './statement-runner.ts'
import type { StatementUsage } from './usage.ts'

export interface LazyTransactionSettings extends ConnectionUserSettings {
  /** Where each statement goes; see statement.ts. */
  readonly placement: PlacementRule
  /** Whether a statement can begin it. */
  readonly isAutomatic: boolean
  /** Counts its statements, if anybody wants to know. */
  readonly usage?: StatementUsage | undefined
  /** Is called just ahead of each COMMIT. */
  readonly onCommit?: () => void
  /** Given, the transaction is for one use: it is closed once it was committed or rolled back, and this is called. */
  readonly onEnd?: () => void
}

/**
 * A transaction that sends its BEGIN with the first statement that needs it, and nothing at all if there is none.
 * After a commit or a rollback the next statement begins anew, on the same `context`, until it has ended.
 *
 * The idea is SQLAlchemy's "autobegin". It works on Kysely's public interfaces alone: `context` is what MikroORM takes
 * for the transaction and what `em.getKysely()` gives out, and its executor leaves each statement to the runner here.
 */
export class LazyTransaction extends ConnectionUser implements StatementTransaction, UnderlyingTransaction {
  /** What MikroORM holds as the session's transaction context. */
  readonly context: Transaction
  readonly statements: StatementRunner
  /** Whether nothing but a rollback is left of it. */
  readonly rollbackOnly = new RollbackOnly()
  readonly #settings: LazyTransactionSettings
  /** A promise while it begins. */
  #active: ActiveTransaction | Promise<ActiveTransaction> | undefined
  /** How many of the writes it has committed, or rolled back. */
  #endedWrites = 0
  /** That of `end()` or `close()`, once it was begun. */
  #lastRollback: Promise<void> | undefined

  constructor (settings: LazyTransactionSettings) {
    super(settings)
    this.#settings = settings
    this.statements = new StatementRunner(this, settings.pool, settings.placement)
    this.context = createKyselyTransaction(this.client, this)
  }

  get usage (): StatementUsage | undefined {
    return this.#settings.usage
  }

  /** Whether statements can begin it by themselves. Otherwise it is autocommit. */
  get isAutomatic (): boolean {
    return this.#settings.isAutomatic
  }

  /** Whether it has begun, or is beginning. */
  get hasBegun (): boolean {
    return this.#active !== undefined
  }

  get hasUncommitted (): boolean {
    return this.#lastRollback !== undefined || (this.isAutomatic && this.statements.writes !== this.#endedWrites)
  }

  /** Whether a statement runs or waits. */
  get isBusy (): boolean {
    return this.statements.mutex.isLocked
  }

  /** Whether nothing has begun, nothing runs and nothing has failed, so that it can be ended without waiting. */
  get isAtRest (): boolean {
    return !this.hasBegun && this.rollbackOnly.reason === undefined && !this.isBusy && this.statements.streams.isEmpty
  }

  /** Sends the BEGIN now, if it has not been sent. */
  async begin (): Promise<void> {
    await this.statements.control()
  }

  /** The same, for a statement that holds the mutex. */
  activate (first?: FirstStatement): ActiveTransaction | Promise<ActiveTransaction> {
    this.rollbackOnly.assertNot()
    this.#active ??= ActiveTransaction.begin(this.#settings, this, first).then(
      active => (this.#active = active),
      (error: unknown) => { this.#ended(); throw error })
    return this.#active
  }

  /** After some errors the database has rolled back, and what came next on this connection would commit by itself. */
  async failed (error: unknown): Promise<unknown> {
    const begun = this.#begun
    if (begun === undefined) return error
    if (isAboutConnection(error)) begun.connection.taint()
    begun.statementFailed(error)
    if (await hasRolledBack(begun.connection.driver, error, begun)) this.doom(error)
    return error
  }

  /** Only a rollback is left, and the connection is not to be used again: tables may be locked on it, or its autocommit be another. */
  endedBehindBack (error: Error): void {
    this.doom(error)
    this.#begun?.connection.taint()
  }

  /** Makes it fit for nothing but a rollback, because of `error`. */
  doom (error: unknown): void {
    this.rollbackOnly.because(error)
  }

  /** Tells MikroORM's subscribers that a commit is to come; they may still send statements, or stop it by throwing. */
  announceCommit (): Promise<void> | undefined {
    const active = this.#current()
    return active instanceof Promise ? active.then(begun => begun?.announce('commit')) : active?.announce('commit')
  }

  /**
   * Takes the mutex for a COMMIT: no statement gets through any more until the commit is released.
   * @throws RollbackOnlyError when a flush has failed, or the database has rolled back by itself
   * @throws OpenStreamError when a query stream has the connection
   * @throws ScopeClosedError once it has ended or is closed
   */
  async prepareCommit (): Promise<PreparedCommit> {
    const { mutex, streams } = this.statements
    this.statements.assertOpen()
    if (streams.has('inside')) throw new OpenStreamError()
    const turn = mutex.acquire()
    if (turn !== undefined) await turn
    // Whoever begins has the mutex.
    const active = this.#begun
    try {
      this.rollbackOnly.assertCommittable(active?.failure)
    } catch (error) {
      mutex.release()
      throw error
    }
    return {
      hasBegun: active !== undefined,
      hasWaiter: () => mutex.hasWaiter(),
      commit: async outcome => {
        this.#settings.onCommit?.()
        // What has come up since would be forgotten with it.
        this.rollbackOnly.assertCommittable(active?.failure)
        try {
          if (active !== undefined) await active.commit(this.statements.writes !== this.#endedWrites)
        } catch (error) {
          throw driverError(error)
        } finally {
          this.rollbackOnly.clear()
          this.#ended()
        }
        // Before anybody else has the mutex: what waits must not begin anew.
        if (outcome !== undefined) this.statements.placement = afterOutcome(outcome)
      },
      release: () => { mutex.release() },
      announceDone: () => active?.announceDone('commit')
    }
  }

  /** Sends ROLLBACK, if BEGIN was sent. A connection that cannot roll back is destroyed. */
  async rollback (): Promise<void> {
    const active = await this.#current()
    await active?.announce('rollback')
    await this.rollbackQuietly()
    await active?.announceDone('rollback')
  }

  /** The same without MikroORM's events, for MikroORM to call, which sends its own. */
  async rollbackQuietly (): Promise<void> {
    await this.statements.streams.close('inside')
    const { mutex } = this.statements
    await mutex.acquire()
    await this.#rollback().finally(() => { mutex.release() })
  }

  /** Sends COMMIT, as quietly. */
  async commitQuietly (): Promise<void> {
    const prepared = await this.prepareCommit()
    await prepared.commit().finally(prepared.release)
  }

  /**
   * Lets no further statement in, not even those that wait, and rolls back what has begun once the statement that runs
   * has ended. Plain reads, each by itself, are still served. Idempotent. At rest there is nothing to wait for.
   * @param outcome what has become of the scope, for the message of the errors that come too late
   */
  end (outcome: string): Promise<void> | undefined {
    this.statements.placement = afterOutcome(outcome)
    if (this.isAtRest) return undefined
    const callOff = this.#settings.pool.destroyLater(this, connection => connection === this.#begun?.connection)
    return this.#rollbackOnce().finally(callOff)
  }

  /**
   * Refuses every further statement, closes every stream, and rolls back as `end` does. What the server has not answered a while later is
   * given up, with its connection. Idempotent. At rest there is nothing to wait for.
   */
  close (): Promise<void> | undefined {
    const { pool } = this.#settings
    this.statements.placement = closed
    const callOff = pool.has(this) ? pool.destroyLater(this) : undefined
    if (this.isAtRest) return undefined
    return this.#rollbackOnce(this.statements.streams.close()).finally(() => { if (!pool.has(this)) callOff?.() })
  }

  /** Nobody waits any longer: a COMMIT that is not answered a while later is given up, with its connection. */
  expire (): void {
    this.#settings.pool.destroyLater(this, connection => this.#begun?.isCommitting === true && connection === this.#begun.connection)
  }

  /** Asks the server to stop the statements that run now. */
  async cancel (): Promise<void> {
    await this.#settings.pool.cancel(this)
  }

  /** Whoever waits for the mutex now finds the new placement. It is rolled back once, and whoever came first is told if that fails. */
  async #rollbackOnce (closing = this.statements.streams.close('inside')): Promise<void> {
    await closing
    if (this.#lastRollback === undefined) await (this.#lastRollback = this.rollback())
    else await Promise.allSettled([this.#lastRollback])
  }

  /** What cannot roll back has destroyed its connection: it is over, too. */
  async #rollback (): Promise<void> {
    await (await this.#current())?.rollback().catch(() => undefined)
    this.rollbackOnly.clear()
    this.#ended()
  }

  #ended (): void {
    this.#active = undefined
    this.#endedWrites = this.statements.writes
    if (this.#settings.onEnd === undefined) return
    this.statements.placement = closed
    this.#settings.onEnd()
  }

  get #begun (): ActiveTransaction | undefined {
    return this.#active instanceof ActiveTransaction ? this.#active : undefined
  }

  /** What has begun, or is beginning; a BEGIN that fails has begun nothing. */
  #current (): ActiveTransaction | Promise<ActiveTransaction | undefined> | undefined {
    return this.#active instanceof Promise ? this.#active.catch(() => undefined) : this.#active
  }
}
