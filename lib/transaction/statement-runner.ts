import type { CompiledQuery, DatabaseConnection, QueryExecutor, QueryResult } from 'kysely'
import { driverOf } from '../drivers/drivers.ts'
import { driverError, errorKindOfDriver } from '../drivers/errors.ts'
import { leavesState } from '../drivers/sql/session-state.ts'
import { GivenConnectionError, OpenStreamError, ReadOnlyError, scopeIs } from '../errors/errors.ts'
import { ActiveTransaction } from './active-transaction.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { leave, type Entered } from './entered.ts'
import { isDubious, watched } from './ending-statements.ts'
import { FirstStatement } from './first-statement.ts'
import { Mutex } from './mutex.ts'
import type { ConnectionOwner, PooledConnection } from './pooled-connection.ts'
import { given, isGiven, providedConnection, telling, type Provider } from './provided-connection.ts'
import { QueryStreams } from './query-streams.ts'
import { CONTROL, PROVIDED, Statement, type Placement, type PlacementRule } from './statement.ts'
import type { TransactionCommands } from './transaction-commands.ts'
import { leadsNowhere } from './until-one-works.ts'

/** The transaction that the statements are for. */
export interface StatementTransaction extends ConnectionOwner {
  /** Gives nothing where there is nothing to wait for. */
  connecting (): Promise<void> | undefined
  /** Whether it has begun, or is beginning. */
  readonly hasBegun: boolean
  /**
   * Begins, unless it has begun.
   * @param first what BEGIN may travel with
   * @throws RollbackOnlyError when only a rollback is left
   */
  activate (first?: FirstStatement): ActiveTransaction | Promise<ActiveTransaction>
  /** Whether it is begun as a read-only one. */
  readonly isReadOnly: boolean
  /** Whether a statement outside has to be in a transaction of its own. */
  readonly needsTransaction: boolean
  /** Begins one for it. */
  beginAlone (): Promise<ActiveTransaction>
  /** Is told what a statement has failed with, and gives it back. */
  failed (error: unknown): Promise<unknown>
  /** Is told that a statement has ended it, and what to tell those that come after it. */
  endedBehindBack (error: Error): void
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
  readonly #release = () => { this.mutex.release() }
  #writes = 0

  constructor (transaction: StatementTransaction, pool: ConnectionPool, placement: PlacementRule) {
    this.#transaction = transaction
    this.#pool = pool
    this.placement = placement
  }

  /** How many statements that are no plain reads have gone through. */
  get writes (): number {
    return this.#writes
  }

  /** @throws ScopeClosedError when only plain reads have a place, or nothing has */
  assertOpen (): void {
    this.#where(CONTROL)
  }

  /**
   * Sends one statement, past all of Kysely but its connection.
   * @param sending is called when it has its connection, once more where it is sent again
   * @throws ScopeClosedError or ReadOnlyError when the statement has no place
   */
  async send<R> (statement: Statement, query: CompiledQuery<R>, sending?: () => void): Promise<QueryResult<R>> {
    const inside = this.#enterTransaction(statement, () => new FirstStatement(query, () => this.#isInside(statement), () => {
      this.#noteWrite(statement)
      sending?.()
    }))
    const entered = inside === undefined ? undefined : await inside
    if (entered !== undefined || this.#transaction.needsTransaction) {
      const answer = entered?.answer as Promise<QueryResult<R>> | undefined
      return await this.#execute(entered ?? await this.#enterAlone(statement), statement, connection => answer ?? connection.send(query), answer === undefined ? sending : undefined)
    }
    const connecting = this.#transaction.connecting()
    if (connecting !== undefined) await connecting
    return await this.#pool.send(this.#transaction, query, {
      isRepeatable: statement.kind === 'read',
      isKept: () => !this.#leavesState(statement),
      admit: () => {
        this.#admitOutside(statement)
        sending?.()
      }
    })
  }

  /** The same for what needs more of Kysely: an abort signal. */
  async execute<T> (statement: Statement, run: (executor: QueryExecutor) => Promise<T>, sending?: () => void): Promise<T> {
    return await this.#execute(await this.#enter(statement), statement, connection => run(connection.executor()), sending)
  }

  /** Gives a connection away for as long as `consumer` runs. What is sent to it then is looked at like everything else. */
  async provideConnection<T> (consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const entered = await this.#enter(PROVIDED)
    const executor = entered.connection.executor()
    const provider: Provider = { enter: async sql => await this.#enterProvided(new Statement(sql, driverOf(executor)), entered), failed: async error => await this.#failed(entered, error) }
    return await this.#execute(entered, PROVIDED, () => executor.provideConnection(connection => given(this, () => consumer(providedConnection(connection, provider)))))
  }

  /** The same for a query whose rows are read one by one. The connection is taken until the last row. */
  async * stream<T> (statement: Statement, run: (executor: QueryExecutor) => AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    const entered = await this.#enter(statement)
    const rows = telling(run(entered.connection.executor()), { failed: async error => await this.#failed(entered, error) })
    yield * this.streams.read(entered.placement, rows, () => entered.release(), () => scopeIs('closed'))
  }

  /** Runs what Kysely has no statement for, SAVEPOINT and its kin. Begins, if that is all. */
  async control (run?: (commands: TransactionCommands) => Promise<unknown>, statement = CONTROL): Promise<void> {
    const entered = await this.#enter(statement)
    await this.#execute(entered, statement, async () => { if (run !== undefined) await run((entered.active as ActiveTransaction).commands) })
  }

  async #execute<T> (entered: Entered, statement: Statement, run: (connection: PooledConnection) => Promise<T>, sending?: () => void): Promise<T> {
    const { connection, active } = entered
    let result: T
    try {
      sending?.()
      result = await run(connection)
      active?.statementSucceeded(statement)
    } catch (error) {
      const failure = await this.#failed(entered, error)
      await leave(entered)
      throw failure
    }
    const released = leave(entered)
    if (released !== undefined) await released
    return result
  }

  /** Never rejects. */
  async #failed (entered: Entered, said: unknown): Promise<unknown> {
    // The server has not become so: it is what the transaction was begun as.
    const error = this.#transaction.isReadOnly && said instanceof Error && errorKindOfDriver(said) === 'read only' ? new ReadOnlyError() : said
    if (entered.placement === 'inside') return await this.#transaction.failed(error)
    entered.hasFailed = true
    if (leadsNowhere(error)) entered.connection.taint()
    return error
  }

  /** Whoever has the connection has the mutex, too. */
  async #enterProvided (statement: Statement, entered: Entered): Promise<Entered['release']> {
    const placement = this.#where(statement)
    this.#noteWrite(statement)
    if (this.#leavesState(statement)) entered.connection.taint()
    if (placement === 'outside') return () => {}
    const active = await this.#transaction.activate()
    active.assertNotFailed(statement)
    return isDubious(statement) ? await watched(statement, active, this.#transaction, () => {}) : () => {}
  }

  async #enter (statement: Statement): Promise<Entered> {
    return await this.#enterTransaction(statement) ?? await (this.#transaction.needsTransaction ? this.#enterAlone(statement) : this.#enterPool(statement))
  }

  /** Gives nothing when the statement's place is outside, now or by the time that its turn has come. */
  #enterTransaction (statement: Statement, asFirst?: () => FirstStatement): Promise<Entered | undefined> | undefined {
    if (this.#where(statement) === 'outside') return undefined
    // Its reader would wait for this statement, and this statement for the stream.
    if (this.streams.hasIdleReader) throw new OpenStreamError()
    if (isGiven(this)) throw new GivenConnectionError()
    return this.#enterInTurn(statement, asFirst)
  }

  async #enterInTurn (statement: Statement, asFirst?: () => FirstStatement): Promise<Entered | undefined> {
    const turn = this.mutex.acquire()
    if (turn !== undefined) await turn
    try {
      if (this.#where(statement) === 'inside') {
        const first = this.#transaction.hasBegun ? undefined : asFirst?.()
        const begun = this.#transaction.activate(first)
        const active = begun instanceof ActiveTransaction ? begun : await begun
        const answer = first?.answer
        if (answer !== undefined) return { placement: 'inside', connection: active.connection, active, answer, release: this.#release }
        if (statement !== PROVIDED) active.assertNotFailed(statement)
        this.#noteWrite(statement)
        if (this.#leavesState(statement)) active.connection.taint()
        // The scope may have ended while this waited for a connection.
        if (this.#where(statement) === 'inside') return { placement: 'inside', connection: active.connection, active, release: isDubious(statement) ? await watched(statement, active, this.#transaction, this.#release) : this.#release }
      }
      this.#release()
      return undefined
    } catch (error) {
      this.#release()
      throw await this.#transaction.failed(driverError(error))
    }
  }

  async #enterPool (statement: Statement): Promise<Entered> {
    await this.#transaction.connecting()
    const connection = await this.#pool.acquire(this.#transaction, (connection, inTime) => inTime(connection.proven()))
    try {
      this.#admitOutside(statement)
    } catch (error) {
      await connection.release()
      throw error
    }
    if (this.#leavesState(statement)) connection.taint()
    return { placement: 'outside', connection, release: () => connection.release() }
  }

  /** Outside the transaction, and in one of its own. */
  async #enterAlone (statement: Statement): Promise<Entered> {
    const active = await this.#transaction.beginAlone()
    try {
      this.#admitOutside(statement)
    } catch (error) {
      await active.rollback()
      throw error
    }
    if (this.#leavesState(statement)) active.connection.taint()
    const entered: Entered = {
      placement: 'outside',
      connection: active.connection,
      active,
      release: async () => { await (entered.hasFailed === true ? active.rollback().catch(() => undefined) : active.commit(statement.kind !== 'read')) }
    }
    return entered
  }

  /** @throws ScopeClosedError when the scope has ended while this waited for a connection */
  #admitOutside (statement: Statement): void {
    this.#where(statement)
    this.#noteWrite(statement)
  }

  /** Whether its place is inside, and it leaves nothing there. The scope may have ended while this waited for a connection. */
  #isInside (statement: Statement): boolean {
    try {
      return this.#where(statement) === 'inside' && !this.#leavesState(statement)
    } catch {
      // It is told so when its turn has come.
      return false
    }
  }

  #leavesState (statement: Statement): boolean {
    return statement.kind !== 'read' && leavesState(statement.sql, this.#transaction.client.getExecutor().adapter.supportsTransactionalDdl === true)
  }

  #where (statement: Statement): Placement {
    return this.placement(statement, this.#transaction.hasBegun)
  }

  #noteWrite (statement: Statement): void {
    if (!statement.isControl && statement.kind !== 'read') this.#writes++
  }
}
