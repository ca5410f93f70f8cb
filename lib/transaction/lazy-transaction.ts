import type { Transaction } from '@mikro-orm/core'
import type { ControlledTransaction, Kysely, QueryExecutor } from 'kysely'
import { driverError } from '../errors/driver-error.ts'
import { OpenStreamError, RollbackOnlyError, scopeIs } from '../errors/errors.ts'
import type { PreparedCommit } from './contracts.ts'
import { ActiveTransaction, type BeginSettings } from './active-transaction.ts'
import { createKyselyTransaction, type UnderlyingTransaction } from './kysely-transaction.ts'
import { hasRolledBack } from './errors.ts'
import type { ConnectionOwner, ConnectionPool } from './connection-pool.ts'
import { QueryStreams } from './query-streams.ts'
import { afterOutcome, closed, CONTROL, type Placement, type PlacementRule, type Statement } from './statement.ts'
import { Mutex } from './mutex.ts'
import type { SqlConnection } from './sql-connection.ts'

export interface LazyTransactionSettings extends BeginSettings {
  /** Where each statement goes; see statement.ts. */
  readonly placement: PlacementRule
  /** Whether a statement can begin it. */
  readonly isAutomatic: boolean
  /** Given, the transaction is for one use: it is closed once it was committed or rolled back, and this is called. */
  readonly onEnd?: () => void
}

/** What a statement runs with, and how it gives that back. */
interface Entered {
  readonly placement: Placement
  readonly executor: QueryExecutor
  leave (): Promise<void> | void
}

/**
 * A transaction that sends its BEGIN with the first statement that needs it, and nothing at all if there is none.
 * After a commit or a rollback the next statement begins anew, on the same `context`, until it has ended.
 *
 * The idea is SQLAlchemy's "autobegin". It works on Kysely's public interfaces alone: `context` is what MikroORM takes
 * for the transaction and what `em.getKysely()` gives out, and its executor asks this class where each statement goes.
 */
export class LazyTransaction implements UnderlyingTransaction, ConnectionOwner {
  /** What MikroORM holds as the session's transaction context. */
  readonly context: Transaction
  readonly #settings: LazyTransactionSettings
  readonly #pool: ConnectionPool
  /** As it was at the beginning: what `isolate()` puts in front of it is not for transactions that came before, but goes on for those that came after. */
  readonly #getClient: SqlConnection['getClient']
  readonly #mutex = new Mutex()
  readonly #streams = new QueryStreams()
  #placement: PlacementRule
  /** A promise while it begins. */
  #active: ActiveTransaction | Promise<ActiveTransaction> | undefined
  #hasWritten = false
  /** Why only a rollback is left, if so. */
  #doomedBy: unknown
  /** That of `end()` or `close()`, once it was begun. */
  #lastRollback: Promise<void> | undefined

  constructor (settings: LazyTransactionSettings) {
    this.#settings = settings
    this.#placement = settings.placement
    this.#pool = settings.pool
    this.#getClient = settings.connection.getClient
    this.context = createKyselyTransaction(this.client, this)
  }

  /** Asked for each time: MikroORM makes itself another when it reconnects, as it does once it has made the database. */
  get client (): Kysely<unknown> {
    return this.#getClient.call(this.#settings.connection)
  }

  /** Whether statements can begin it by themselves. Otherwise it is autocommit. */
  get isAutomatic (): boolean {
    return this.#settings.isAutomatic
  }

  /** @throws ScopeClosedError once it has ended or is closed */
  assertOpen (): void {
    this.#where(CONTROL)
  }

  /** Whether a statement runs or waits. */
  get isBusy (): boolean {
    return this.#mutex.isLocked
  }

  /** Whether nothing has begun and nothing runs, so that it can be ended without waiting. */
  get isAtRest (): boolean {
    return this.#active === undefined && !this.#mutex.isLocked && this.#streams.isEmpty
  }

  /** Whether anything but plain reads has gone through it, or beside it where nothing begins by itself. */
  get hasWritten (): boolean {
    return this.#hasWritten
  }

  /** Sends the BEGIN now, if it has not been sent. */
  async begin (): Promise<void> {
    await this.savepoint(async () => {})
  }

  /**
   * Runs one statement where its text says that it belongs: inside, or as if there were no transaction.
   * @throws ScopeClosedError or ReadOnlyError when it has no place
   */
  async execute<T> (statement: Statement, run: (executor: QueryExecutor) => Promise<T>): Promise<T> {
    const inside = await this.#enterTransaction(statement)
    if (inside === undefined) return await this.#executeOutside(statement, run)
    try {
      return await this.#attempt(() => run(inside.executor))
    } finally {
      await inside.leave()
    }
  }

  /** The same for a query whose rows are read one by one. The connection is taken until the last row. */
  async * stream<T> (statement: Statement, run: (executor: QueryExecutor) => AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    const { placement, executor, leave } = await this.#enter(statement)
    try {
      yield * this.#streams.read(placement, run(executor), leave, () => scopeIs('closed'))
    } catch (error) {
      throw placement === 'inside' ? await this.#failed(error) : error
    }
  }

  /** Runs SAVEPOINT and its kin, which Kysely sends on the transaction itself. */
  async savepoint (run: (trx: ControlledTransaction<unknown>) => Promise<unknown>): Promise<void> {
    const { leave } = await this.#enter(CONTROL)
    const { kysely } = await this.#begin()
    try {
      await run(kysely)
    } catch (error) {
      throw await this.#failed(driverError(error))
    } finally {
      await leave()
    }
  }

  /** Tells MikroORM's subscribers that a commit is to come; they may still send statements, or stop it by throwing. */
  async announceCommit (): Promise<void> {
    await (await this.#current())?.announce('commit')
  }

  /**
   * Takes the turn for a COMMIT: no statement gets through any more until the commit is released.
   * @throws RollbackOnlyError when a flush has failed, or the database has rolled back by itself
   * @throws OpenStreamError when a query stream has the connection
   * @throws ScopeClosedError once it has ended or is closed
   */
  async prepareCommit (): Promise<PreparedCommit> {
    this.#assertCanCommit()
    const release = await this.#mutex.acquire()
    if (this.#doomedBy !== undefined) {
      release()
      throw rollbackOnly(this.#doomedBy)
    }
    const active = await this.#current()
    return {
      hasBegun: active !== undefined,
      hasWaiter: () => this.#mutex.hasWaiter(),
      commit: async outcome => {
        await this.#commit()
        // Before anybody else has the turn: what waits must not begin anew.
        if (outcome !== undefined) this.#placement = afterOutcome(outcome)
      },
      release,
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
    await this.#streams.close('inside')
    const release = await this.#mutex.acquire()
    await this.#rollback().finally(release)
  }

  /** Sends COMMIT, as quietly. */
  async commitQuietly (): Promise<void> {
    const prepared = await this.prepareCommit()
    await prepared.commit().finally(prepared.release)
  }

  /** Makes it fit for nothing but a rollback, because of `error`. */
  doom (error: unknown): void {
    this.#doomedBy ??= error
  }

  /**
   * Lets no further statement in, not even those that wait, and rolls back what has begun once the statement that runs
   * has ended. Plain reads, each by itself, are still served. Idempotent. At rest there is nothing to wait for.
   * @param outcome what has become of the scope, for the message of the errors that come too late
   */
  end (outcome: string): Promise<void> | undefined {
    this.#placement = afterOutcome(outcome)
    return this.isAtRest ? undefined : this.#shut()
  }

  /** Refuses every further statement, ends every stream, and rolls back as `end` does. Idempotent. At rest there is nothing to wait for. */
  close (): Promise<void> | undefined {
    this.#placement = closed
    return this.isAtRest ? undefined : this.#shut(this.#streams.close())
  }

  /** Asks the server to stop the statements that run now. */
  async cancel (): Promise<void> {
    await this.#pool.cancel(this)
  }

  #assertCanCommit (): void {
    this.#where(CONTROL)
    if (this.#streams.has('inside')) throw new OpenStreamError()
  }

  /** Whoever waits for the turn now finds the new placement. It is rolled back once, and whoever came first is told if that fails. */
  async #shut (closing = this.#streams.close('inside')): Promise<void> {
    await closing
    if (this.#lastRollback === undefined) await (this.#lastRollback = this.rollback())
    else await Promise.allSettled([this.#lastRollback])
  }

  #where (statement: Statement): Placement {
    return this.#placement(statement, this.#active !== undefined)
  }

  async #enter (statement: Statement): Promise<Entered> {
    return await this.#enterTransaction(statement) ?? await this.#enterPool(statement)
  }

  /** Takes the turn and begins, where a statement's placement is inside. Gives nothing when it is outside, by now or by the time that the turn has come. */
  #enterTransaction (statement: Statement): Promise<Entered | undefined> | undefined {
    if (this.#where(statement) === 'outside') return undefined
    // Its reader would wait for this statement, and this statement for the stream.
    if (this.#streams.hasIdleReader) throw new OpenStreamError()
    return this.#enterInTurn(statement)
  }

  async #enterInTurn (statement: Statement): Promise<Entered | undefined> {
    const end = await this.#mutex.acquire()
    try {
      if (this.#where(statement) === 'inside') {
        if (this.#doomedBy !== undefined) throw rollbackOnly(this.#doomedBy)
        const { kysely } = await this.#begin()
        this.#noteWrite(statement)
        // The scope may have ended while this waited for a connection.
        if (this.#where(statement) === 'inside') return { placement: 'inside', executor: kysely.getExecutor(), leave: end }
      }
      end()
      return undefined
    } catch (error) {
      end()
      throw await this.#failed(driverError(error))
    }
  }

  #executeOutside<T> (statement: Statement, run: (executor: QueryExecutor) => Promise<T>): Promise<T> {
    return run(this.#pool.executor(this, () => { this.#passOutside(statement) }))
  }

  async #enterPool (statement: Statement): Promise<Entered> {
    const connection = await this.#pool.acquire(this)
    try {
      this.#passOutside(statement)
    } catch (error) {
      await connection.release()
      throw error
    }
    return { placement: 'outside', executor: connection.kysely.getExecutor(), leave: () => connection.release() }
  }

  /** @throws ScopeClosedError when the scope has ended while this waited for a connection */
  #passOutside (statement: Statement): void {
    this.#where(statement)
    this.#noteWrite(statement)
  }

  #noteWrite (statement: Statement): void {
    this.#hasWritten ||= statement !== CONTROL && statement.kind !== 'read'
  }

  #begin (): ActiveTransaction | Promise<ActiveTransaction> {
    this.#active ??= this.#beginNow()
    return this.#active
  }

  async #beginNow (): Promise<ActiveTransaction> {
    try {
      this.#active = await ActiveTransaction.begin(this.#settings, this)
      return this.#active
    } catch (error) {
      this.#ended()
      throw error
    }
  }

  async #commit (): Promise<void> {
    try {
      await (await this.#current())?.commit()
    } catch (error) {
      throw driverError(error)
    } finally {
      this.#doomedBy = undefined
      this.#ended()
    }
  }

  /** What cannot roll back has destroyed its connection: it is over, too. */
  async #rollback (): Promise<void> {
    await (await this.#current())?.rollback().catch(() => undefined)
    this.#doomedBy = undefined
    this.#ended()
  }

  #ended (): void {
    this.#active = undefined
    const { onEnd } = this.#settings
    if (onEnd === undefined) return
    this.#placement = closed
    onEnd()
  }

  /** What has begun, or is beginning; a BEGIN that fails has begun nothing. */
  #current (): ActiveTransaction | Promise<ActiveTransaction | undefined> | undefined {
    return this.#active instanceof Promise ? this.#active.catch(() => undefined) : this.#active
  }

  async #attempt<T> (run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      throw await this.#failed(error)
    }
  }

  /** After some errors the database has rolled back, and what came next on this connection would commit by itself. */
  async #failed (error: unknown): Promise<unknown> {
    if (this.#active !== undefined && await hasRolledBack(this.#settings.connection, error)) this.doom(error)
    return error
  }
}

function rollbackOnly (cause: unknown): Error {
  return Object.assign(new RollbackOnlyError('its transaction has failed'), { cause })
}
