import type { ControlConnectionProvider, DatabaseConnection, Kysely, QueryExecutor } from 'kysely'
import { Bag, type BagMember } from '../bag.ts'
import { driverError } from '../errors/driver-error.ts'
import { scopeIs } from '../errors/errors.ts'
import { AcquireTimeout } from './acquire-timeout.ts'
import { interruptible, type Interrupt } from './interruptible.ts'

/** Somebody who takes connections from a pool. */
export interface ConnectionOwner {
  /** The Kysely whose pool has those that are free. */
  readonly client: Kysely<unknown>
}

/**
 * The connections of one database. Those that are free are Kysely's to keep; who has which of the others, and for how long somebody may
 * wait for one, is known here.
 */
export class ConnectionPool {
  /** The connections that somebody has now. */
  readonly inUse = new Bag<ConnectionInUse>()
  readonly #timeout: AcquireTimeout

  /** @param acquireTimeout how long to wait for a connection, in milliseconds */
  constructor (acquireTimeout: number) {
    this.#timeout = new AcquireTimeout(acquireTimeout)
  }

  get acquireTimeout (): number {
    return this.#timeout.milliseconds
  }

  /**
   * Takes a connection, to be kept until it is released.
   * @throws AcquireTimeoutError when none became free in time; one that comes later goes back to the pool
   */
  acquire (owner: ConnectionOwner): Promise<PooledConnection> {
    return new Promise((resolve, reject) => {
      const { client } = owner
      const returned = this.#inTime(arrived => client.connection().execute(async kysely => {
        arrived()
        const connection = await kysely.getExecutor().provideConnection(async connection => connection)
        const released = Promise.withResolvers<void>()
        resolve(new PooledConnection(this, owner, connection, kysely, () => {
          released.resolve()
          return returned
        }))
        await released.promise
      }))
      returned.catch(reject)
    })
  }

  /**
   * An executor for one statement, which takes a connection for as long as that runs, and a second one where Kysely has to stop it
   * from there. It fails with an AcquireTimeoutError when no connection became free in time; one that comes later goes back to the pool.
   * @param admit is called when the first connection has come; what it throws is thrown instead of running the statement
   */
  executor (owner: ConnectionOwner, admit: () => void): QueryExecutor {
    const executor = owner.client.getExecutor()
    let isAdmitted = false
    return executor.withConnectionProvider({
      provideConnection: consumer => this.#inTime(arrived => executor.provideConnection(async connection => {
        arrived()
        if (!isAdmitted) admit()
        isAdmitted = true
        const inUse = new ConnectionInUse(this, owner, connection)
        try {
          return await consumer(connection)
        } finally {
          inUse.forget()
        }
      }))
    })
  }

  /** Asks the server to stop the statements that run now on what one owner has. */
  async cancel (owner: ConnectionOwner): Promise<void> {
    await Promise.allSettled([...this.inUse].filter(connection => connection.owner === owner).map(connection => connection.cancel()))
  }

  /** Destroys all connections that somebody has. */
  async destroy (): Promise<void> {
    await Promise.allSettled([...this.inUse].map(connection => connection.destroy()))
  }

  /** Gives a driver a connection on which it asks the server to stop what runs on another one. */
  control<T> (owner: ConnectionOwner, consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const executor = owner.client.getExecutor()
    return this.#inTime(arrived => executor.provideConnection(async connection => {
      arrived()
      return await consumer(connection)
    }))
  }

  /**
   * Waits for a connection no longer than the timeout. Kysely could stop waiting by itself, but prints to the console when what
   * comes too late is an error. What its pool says instead of giving one is remembered as the database's error.
   * @param acquire is to call `arrived` first when it has a connection, which throws when it comes too late
   */
  #inTime<T> (acquire: (arrived: () => void) => Promise<T>): Promise<T> {
    const timeout = this.#timeout
    return new Promise((resolve, reject) => {
      const wait = timeout.start(reject)
      acquire(() => timeout.clearInTime(wait)).then(resolve, (error: Error) => {
        reject(timeout.clear(wait) ? driverError(error) : error)
      })
    })
  }
}

/** A connection that somebody has for as long as something runs. */
class ConnectionInUse implements BagMember {
  index = -1
  readonly owner: ConnectionOwner
  readonly #pool: ConnectionPool
  readonly #connection: DatabaseConnection
  readonly #interrupt: Interrupt

  constructor (pool: ConnectionPool, owner: ConnectionOwner, connection: DatabaseConnection) {
    this.owner = owner
    this.#pool = pool
    this.#connection = connection
    this.#interrupt = interruptible(connection)
    pool.inUse.add(this)
  }

  /** Asks the server to stop the statement that runs on it now, where the driver can. */
  async cancel (): Promise<void> {
    await this.#connection.collectSessionInfo?.()
    await this.#connection.cancelQuery?.(this.#control)
  }

  /**
   * Ends what waits for it, and so frees its place in the pool, and closes it where its driver can, so that whatever is open on it ends
   * on the server. mysql2 can. Kysely's PostgreSQL driver has no way to: it asks the server to end the session, and that only while a
   * statement runs. Never waits for the server.
   */
  async destroy (): Promise<void> {
    if (!this.#pool.inUse.has(this)) return
    this.#interrupt(scopeIs('closed'))
    killSession(this.#connection, this.#control)
  }

  /** Nobody has it any more. */
  forget (): void {
    this.#pool.inUse.delete(this)
  }

  get #control (): ControlConnectionProvider {
    return consumer => this.#pool.control(this.owner, consumer)
  }
}

/** One that somebody has until it is released. */
export class PooledConnection extends ConnectionInUse {
  /** Kysely on this one connection. */
  readonly kysely: Kysely<unknown>
  readonly #giveBack: () => Promise<void>

  /** @param giveBack frees its place in the pool */
  constructor (pool: ConnectionPool, owner: ConnectionOwner, connection: DatabaseConnection, kysely: Kysely<unknown>, giveBack: () => Promise<void>) {
    super(pool, owner, connection)
    this.kysely = kysely
    this.#giveBack = giveBack
  }

  /** Gives it back to the pool; resolves when it is there. */
  release (): Promise<void> {
    this.forget()
    return this.#giveBack()
  }

  /** Closes it as far as its driver can, and gives it back. */
  override async destroy (): Promise<void> {
    await super.destroy()
    await this.release()
  }
}

/**
 * Closes a connection, as far as its driver can. mysql2 does its own part at once; then drivers may ask the server, on
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
