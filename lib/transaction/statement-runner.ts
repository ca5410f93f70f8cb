import type { ControlledTransaction, Kysely, QueryExecutor } from 'kysely'
import { driverError } from '../errors/driver-error.ts'
import { OpenStreamError, RollbackOnlyError, scopeIs } from '../errors/errors.ts'
import type { ActiveTransaction } from './active-transaction.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { Mutex } from './mutex.ts'
import type { ConnectionOwner } from './pooled-connection.ts'
import { QueryStreams } from './query-streams.ts'
import { leavesState } from './session-state.ts'
import { CONTROL, mayEndTransaction, setsAutocommit, type Placement, type PlacementRule, type Statement } from './statement.ts'

/** The transaction that the statements are for. */
export interface StatementTransaction extends ConnectionOwner {
  /** Whether it has begun, or is beginning. */
  readonly hasBegun: boolean
  /**
   * Begins, unless it has begun.
   * @throws RollbackOnlyError when only a rollback is left
   */
  activate (): ActiveTransaction | Promise<ActiveTransaction>
  /** Is told what a statement has failed with, and gives it back. */
  failed (error: unknown): Promise<unknown>
  /** Is told that a statement has ended it, and what to tell those that come after it. */
  endedBehindBack (error: Error): void
}

/** What a statement runs on, and how it gives that back. */
interface Entered {
  readonly placement: Placement
  readonly kysely: Kysely<unknown>
  release (): Promise<void> | void
}

/** Runs each statement where its text says that it belongs: inside the transaction, one at a time, or outside, as if there were none. */
export class StatementRunner {
  /** Where each statement goes from now on; see statement.ts. */
  placement: PlacementRule
  /** Who holds it lets no statement into the transaction. */
  readonly mutex = new Mutex()
  readonly streams = new QueryStreams()
  readonly #transaction: StatementTransaction
  readonly #pool: ConnectionPool
  #hasWritten = false

  constructor (transaction: StatementTransaction, pool: ConnectionPool, placement: PlacementRule) {
    this.#transaction = transaction
    this.#pool = pool
    this.placement = placement
  }

  /** Whether anything but plain reads has gone through. */
  get hasWritten (): boolean {
    return this.#hasWritten
  }

  /** @throws ScopeClosedError when only plain reads have a place, or nothing has */
  assertOpen (): void {
    this.#where(CONTROL)
  }

  /** @throws ScopeClosedError or ReadOnlyError when the statement has no place */
  async execute<T> (statement: Statement, run: (executor: QueryExecutor) => Promise<T>): Promise<T> {
    const inside = await this.#enterTransaction(statement)
    if (inside === undefined) return await this.#runOutside(statement, run)
    try {
      return await run(inside.kysely.getExecutor()).catch(async (error: unknown) => { throw await this.#transaction.failed(error) })
    } finally {
      await inside.release()
    }
  }

  async #runOutside<T> (statement: Statement, run: (executor: QueryExecutor) => Promise<T>): Promise<T> {
    return await this.#pool.run(this.#transaction, {
      isRepeatable: statement.kind === 'read',
      isKept: !leavesStateBehind(statement, this.#transaction.client),
      admit: () => { this.#admitOutside(statement) }
    }, run)
  }

  /** The same for a query whose rows are read one by one. The connection is taken until the last row. */
  async * stream<T> (statement: Statement, run: (executor: QueryExecutor) => AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    const { placement, kysely, release } = await this.#enter(statement)
    const rows = run(kysely.getExecutor())
    yield * this.streams.read(placement, placement === 'inside' ? this.#telling(rows) : rows, release, () => scopeIs('closed'))
  }

  /** Runs what Kysely has no statement for, SAVEPOINT and its kin. */
  async control (run: (trx: ControlledTransaction<unknown>) => Promise<unknown>): Promise<void> {
    const { kysely, release } = await this.#enter(CONTROL)
    try {
      await run(kysely as ControlledTransaction<unknown>)
    } catch (error) {
      throw await this.#transaction.failed(driverError(error))
    } finally {
      await release()
    }
  }

  async #enter (statement: Statement): Promise<Entered> {
    return await this.#enterTransaction(statement) ?? await this.#enterPool(statement)
  }

  /** Gives nothing when the statement's place is outside, now or by the time that its turn has come. */
  #enterTransaction (statement: Statement): Promise<Entered | undefined> | undefined {
    if (this.#where(statement) === 'outside') return undefined
    // Its reader would wait for this statement, and this statement for the stream.
    if (this.streams.hasIdleReader) throw new OpenStreamError()
    return this.#enterInTurn(statement)
  }

  async #enterInTurn (statement: Statement): Promise<Entered | undefined> {
    const release = await this.mutex.acquire()
    try {
      if (this.#where(statement) === 'inside') {
        const active = await this.#transaction.activate()
        this.#noteWrite(statement)
        if (leavesStateBehind(statement, active.kysely)) active.taint()
        // The scope may have ended while this waited for a connection.
        if (this.#where(statement) === 'inside') return { placement: 'inside', kysely: active.kysely, release: await this.#watched(statement, active, release) }
      }
      release()
      return undefined
    } catch (error) {
      release()
      throw await this.#transaction.failed(driverError(error))
    }
  }

  /** What may end the transaction is followed by a look whether it has. */
  async #watched (statement: Statement, active: ActiveTransaction, release: () => void): Promise<Entered['release']> {
    if (statement === CONTROL || statement.kind === 'read' || !mayEndTransaction(statement.sql)) return release
    await active.mark()
    return async () => {
      try {
        if (setsAutocommit(statement.sql) || !await active.isMarked()) this.#transaction.endedBehindBack(new RollbackOnlyError(ENDED_BY_STATEMENT))
      } finally {
        release()
      }
    }
  }

  /** While the connection is still the transaction's: it may have to be asked. */
  async * #telling<T> (rows: AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    try {
      yield * rows
    } catch (error) {
      throw await this.#transaction.failed(error)
    }
  }

  async #enterPool (statement: Statement): Promise<Entered> {
    const connection = await this.#pool.acquire(this.#transaction, async connection => await connection.proven())
    try {
      this.#admitOutside(statement)
    } catch (error) {
      await connection.release()
      throw error
    }
    return { placement: 'outside', kysely: connection.kysely, release: () => connection.release() }
  }

  /** @throws ScopeClosedError when the scope has ended while this waited for a connection */
  #admitOutside (statement: Statement): void {
    this.#where(statement)
    this.#noteWrite(statement)
  }

  #where (statement: Statement): Placement {
    return this.placement(statement, this.#transaction.hasBegun)
  }

  #noteWrite (statement: Statement): void {
    this.#hasWritten ||= statement !== CONTROL && statement.kind !== 'read'
  }
}

const ENDED_BY_STATEMENT = 'a statement has ended its transaction (COMMIT, ROLLBACK, BEGIN, XA, a procedure, or DDL on MySQL)'

function leavesStateBehind (statement: Statement, kysely: Kysely<unknown>): boolean {
  return statement.kind !== 'read' && leavesState(statement.sql, kysely.getExecutor().adapter.supportsTransactionalDdl === true)
}
