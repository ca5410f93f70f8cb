import type { ControlConnectionProvider, DatabaseConnection, Kysely } from 'kysely'
import type { Bag, BagMember } from '../bag.ts'
import type { Origin } from '../diagnostics/messages.ts'
import type { Driver, PhysicalConnection, TransactionStatus } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { scopeIs } from '../errors/errors.ts'
import { inOtherWords } from './in-other-words.ts'
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
  /** Gives a driver a connection on which it asks the server to stop what runs on another one. */
  control<T> (owner: ConnectionOwner, consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T>
}

/** A connection that somebody has for as long as something runs. */
export class ConnectionInUse implements BagMember, ConnectionHolder {
  index = -1
  readonly owner: ConnectionOwner
  readonly driver: Driver
  isInTransaction = false
  /** Whether nobody has used it before: it has just been made. */
  readonly isFresh: boolean
  readonly #pool: PoolInUse
  readonly #connection: DatabaseConnection
  readonly #physical: PhysicalConnection | undefined
  readonly #interrupt: Interrupt
  readonly #traced: TracedConnection

  constructor (pool: PoolInUse, owner: ConnectionOwner, connection: DatabaseConnection) {
    this.owner = owner
    this.isFresh = !isInterruptible(connection)
    this.#pool = pool
    this.#connection = connection
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

  /** Has it answer, where anything can be asked of it, so that it is known to lead to a server. */
  async proven (): Promise<this> {
    await this.owner.silence?.identify(this.#connection)
    return this
  }

  /** Runs what begins or ends a transaction on it. */
  command<T> (sql: string, run: () => Promise<T>): Promise<T> {
    return this.#traced.command(sql, run)
  }

  /**
   * Runs what sends BEGIN on it.
   * @param isCausal whether it waits for what other nodes of its cluster have committed
   */
  async begin<T> (run: () => Promise<T>, isCausal: boolean): Promise<T> {
    const { causalReads } = this.driver
    if (!isCausal || causalReads === undefined) return await this.command('begin', run)
    const { result } = await inOtherWords(this.#connection, 'begin', causalReads.begin, run)
    return result
  }

  /**
   * Runs what sends COMMIT on it.
   * @param asksPosition whether it is to say where in the log that is
   */
  async commit (run: () => Promise<unknown>, asksPosition: boolean): Promise<string | undefined> {
    const { replication } = this.driver
    if (!asksPosition || replication === undefined) {
      await this.command('commit', run)
      return undefined
    }
    const read = replication.listen(this.#connection)
    const { answer } = await inOtherWords(this.#connection, 'commit', replication.commit, run)
    return read(answer)
  }

  /** Asks the server to stop the statement that runs on it now, where the driver can. */
  async cancel (): Promise<void> {
    await this.#connection.collectSessionInfo?.()
    await this.#connection.cancelQuery?.(this.#control)
  }

  /**
   * Ends what waits for it, and so frees its place in the pool, and closes it where its driver can, so that whatever is open on it ends
   * on the server. Never waits for the server. Its place in the pool is not to be freed before that.
   * @param error what is told to whoever waits for an answer
   */
  async destroy (error = scopeIs('closed')): Promise<void> {
    if (!this.#pool.inUse.has(this)) return
    this.#interrupt(error)
    if (this.#physical === undefined) killSession(this.#connection, this.#control)
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
  /** Kysely on this one connection. */
  readonly kysely: Kysely<unknown>
  readonly #release: () => Promise<void>
  #isTainted = false

  /** @param release frees its place in the pool */
  constructor (pool: PoolInUse, owner: ConnectionOwner, connection: DatabaseConnection, kysely: Kysely<unknown>, release: () => Promise<void>) {
    super(pool, owner, connection)
    this.kysely = kysely
    this.#release = release
  }

  /** Nobody knows any more what is on it, or where it leads: it is destroyed in the end. */
  taint (): void {
    this.#isTainted = true
  }

  /** Gives it back to the pool; resolves when it is there. */
  async release (): Promise<void> {
    if (this.#isTainted) await super.destroy()
    this.forget()
    await this.#release()
  }

  /** Closes it as far as its driver can, and gives it back. */
  override async destroy (error?: Error): Promise<void> {
    await super.destroy(error)
    this.forget()
    await this.#release()
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
