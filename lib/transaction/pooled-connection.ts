import type { CompiledQuery, ControlConnectionProvider, DatabaseConnection, Kysely, QueryExecutor, QueryResult } from 'kysely'
import type { Bag, BagMember } from '../bag.ts'
import type { Origin } from '../diagnostics/messages.ts'
import type { Combined, Driver, PhysicalConnection, TransactionStatus } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { scopeIs } from '../errors/errors.ts'
import type { Counts } from './counts.ts'
import type { Silence } from './silence.ts'
import { interruptible, isInterruptible, type Interrupt } from './interruptible.ts'
import { TracedConnection, type ConnectionHolder } from './traced-connection.ts'

/** Somebody who takes connections from a pool. */
export interface ConnectionOwner {
  /** What it is for, where it is for a scope. */
  readonly origin?: Origin
  /** The Kysely whose pool has those that are free. */
  readonly client: Kysely<unknown>
  /** Runs what takes a connection from the pool, where that has to know for whom. */
  readonly acquire?: (<T>(work: (acquired: () => void) => T) => T) | undefined
  /** Is told that a connection has led nowhere, before another is taken. */
  readonly ledNowhere?: ((error: Error) => void) | undefined
  /** Knows of silent connections of its database, where that can be found out. */
  readonly silence?: Silence | undefined
}

/** What a connection needs of the pool that it is from. */
export interface PoolInUse {
  /** The connections that somebody has now. */
  readonly inUse: Bag<ConnectionInUse>
  readonly counts: Counts
  /** Gives a driver a connection on which it asks the server to stop what runs on another one. */
  control<T> (owner: ConnectionOwner, consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T>
}

/** A connection that somebody has for as long as something runs. */
export class ConnectionInUse implements BagMember, ConnectionHolder {
  index = -1
  readonly owner: ConnectionOwner
  readonly driver: Driver
  /** Kysely's own. What is sent on it directly is one promise, where Kysely would make nine. */
  readonly connection: DatabaseConnection
  isInTransaction = false
  /** Whether nobody has used it before: it has just been made. */
  readonly isFresh: boolean
  readonly #pool: PoolInUse
  readonly #physical: PhysicalConnection | undefined
  readonly #interrupt: Interrupt
  readonly #traced: TracedConnection

  constructor (pool: PoolInUse, owner: ConnectionOwner, connection: DatabaseConnection) {
    this.owner = owner
    this.connection = connection
    this.isFresh = !isInterruptible(connection)
    this.#pool = pool
    this.driver = driverOf(owner.client.getExecutor())
    this.#physical = this.driver.physical(connection)
    this.#interrupt = interruptible(connection, this.#physical)
    this.#traced = TracedConnection.of(connection)
    this.#traced.holder = this
    pool.inUse.add(this)
  }

  /** Whether it is in a transaction, as far as the server has told. */
  get status (): TransactionStatus | undefined {
    return this.#physical?.status
  }

  /** Sends one statement. */
  send<R> (query: CompiledQuery<R>): Promise<QueryResult<R>> {
    return this.connection.executeQuery<R>(query)
  }

  /** A statement as it is sent. */
  tagged (query: CompiledQuery): CompiledQuery {
    return this.#traced.tagged(query)
  }

  /**
   * Sends several statements in one message.
   * @param statements as they are told of
   * @returns the answer of the last one, if anybody can tell it
   */
  sendTogether (statements: readonly CompiledQuery[], { query, answer }: Combined): Promise<QueryResult<unknown> | undefined> {
    return this.#traced.sendTogether(statements, query, answer)
  }

  get counts (): Counts {
    return this.#pool.counts
  }

  /** Has it answer, where anything can be asked of it, so that it is known to lead to a server. */
  async proven (): Promise<this> {
    await this.owner.silence?.identify(this.connection)
    return this
  }

  /** Runs what begins or ends a transaction on it. */
  command<T> (sql: string, run: () => Promise<T>): Promise<T> {
    return this.#traced.command(sql, run)
  }

  /** Asks the server to stop the statement that runs on it now, where the driver can. */
  async cancel (): Promise<void> {
    await this.connection.collectSessionInfo?.()
    await this.connection.cancelQuery?.(this.#control)
  }

  /**
   * Ends what waits for it, and so frees its place in the pool, and closes it where its driver can, so that whatever is open on it ends
   * on the server. Never waits for the server. Its place in the pool is not to be freed before that.
   * @param error what is told to whoever waits for an answer
   */
  async destroy (error = scopeIs('closed')): Promise<void> {
    if (!this.#pool.inUse.has(this)) return
    this.#interrupt(error)
    if (this.#physical === undefined) killSession(this.connection, this.#control)
    else await this.#physical.close()
  }

  /** Nobody has it any more. */
  forget (): void {
    this.#pool.inUse.delete(this)
    if (this.#traced.holder === this) this.#traced.holder = undefined
  }

  get #control (): ControlConnectionProvider {
    return consumer => this.#pool.control(this.owner, consumer)
  }
}

/** One that somebody has until it is released. */
export class PooledConnection extends ConnectionInUse {
  /** Kysely on this one connection, where its driver is to begin transactions. */
  readonly kysely: Kysely<unknown> | undefined
  readonly #release: () => Promise<void>
  #isTainted = false
  #executor: QueryExecutor | undefined
  #busy: Promise<void> | undefined

  /** @param release frees its place in the pool */
  constructor (pool: PoolInUse, owner: ConnectionOwner, connection: DatabaseConnection, kysely: Kysely<unknown> | undefined, release: () => Promise<void>) {
    super(pool, owner, connection)
    this.kysely = kysely
    this.#release = release
  }

  /** Until what `executor` has been asked for is over, which can be later than its answer: a statement that nobody waits for any more. */
  get busy (): Promise<void> | undefined {
    return this.#busy
  }

  /** For what needs more of Kysely than one statement: streams, abort signals, a connection that is given away. */
  executor (): QueryExecutor {
    this.#executor ??= this.owner.client.getExecutor().withConnectionProvider({ provideConnection: consumer => this.#provide(consumer) })
    return this.#executor
  }

  /** Nobody knows any more what is on it, or where it leads: it is destroyed in the end. */
  taint (): void {
    this.#isTainted = true
  }

  /** Gives it back to the pool; resolves when it is there. */
  release (): Promise<void> {
    if (this.#isTainted) return this.destroy()
    this.forget()
    return this.#release()
  }

  /** Closes it as far as its driver can, and gives it back. */
  override async destroy (error?: Error): Promise<void> {
    await super.destroy(error)
    this.forget()
    await this.#release()
  }

  /** One after the other. */
  async #provide<T> (consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const earlier = this.#busy
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#busy = promise
    await earlier
    try {
      return await consumer(this.connection)
    } finally {
      if (this.#busy === promise) this.#busy = undefined
      resolve()
    }
  }
}

/**
 * Closes a connection, as far as its driver can by way of Kysely. It does its own part at once; then it may ask the server, on
 * another connection, to end the statement that runs, for which nobody waits: it may never answer.
 */
function killSession (connection: DatabaseConnection, control: ControlConnectionProvider): void {
  void ignoringErrors(() => connection.collectSessionInfo?.())
  void ignoringErrors(() => connection.killSession?.(control))
}

async function ignoringErrors (work: () => Promise<unknown> | undefined): Promise<void> {
  try {
    await work()
  } catch {
    // The connection may be beyond all that.
  }
}
