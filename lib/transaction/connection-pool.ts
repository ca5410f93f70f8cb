import type { DatabaseConnection, QueryExecutor } from 'kysely'
import { Bag } from '../bag.ts'
import { CONNECTION } from '../diagnostics/channels.ts'
import { ConnectionTrace } from '../diagnostics/connection-trace.ts'
import { driverError, wasNeverSent } from '../drivers/errors.ts'
import { AcquireTimeout } from './acquire-timeout.ts'
import { ConnectionInUse, PooledConnection, type ConnectionOwner, type PoolInUse } from './pooled-connection.ts'
import { ReadWatch } from './read-watch.ts'
import { leadsNowhere, untilOneWorks } from './until-one-works.ts'

/** How a statement that has no transaction is run. */
interface StatementUse {
  /** Whether it does no harm when it is run again after a connection was lost. */
  readonly isRepeatable: boolean
  /** Whether its connection goes back to the pool; asked when it has run. */
  isKept (): boolean
  /** Is called when the first connection has come; what it throws is thrown instead of running the statement. */
  admit (): void
}

/**
 * The connections of one database. Those that are free are Kysely's to keep; who has which of the others, for how long somebody may
 * wait for one, and what becomes of one that leads nowhere, is known here.
 */
export class ConnectionPool implements PoolInUse {
  readonly inUse = new Bag<ConnectionInUse>()
  readonly #timeout: AcquireTimeout
  /** Those that nobody waits for any more. */
  readonly #late = new Set<Promise<unknown>>()

  /** @param acquireTimeout how long to wait for a connection that works, in milliseconds */
  constructor (acquireTimeout: number) {
    this.#timeout = new AcquireTimeout(acquireTimeout)
  }

  get acquireTimeout (): number {
    return this.#timeout.milliseconds
  }

  /**
   * Takes a connection on which `prove` goes through. One that leads nowhere is destroyed, and another taken, until the timeout.
   * @param prove begins what the connection is taken for; a server that can be reached answers it at once
   * @param mayWait whether it may wait for other servers first
   * @returns what `prove` gives
   * @throws AcquireTimeoutError when none became free, or none has answered, in time; one that comes later goes back to the pool
   * @throws what `prove` throws, or what the database says when no connection can be made
   */
  acquire<T> (owner: ConnectionOwner, prove: (connection: PooledConnection) => Promise<T>, mayWait = false): Promise<T> {
    return untilOneWorks(this.#timeout, async attempt => {
      const connection = await this.#take(owner, attempt.deadline)
      try {
        return await this.#timeout.limit(connection.isFresh || mayWait ? attempt.deadline : attempt.silenceDeadline, prove(connection))
      } catch (error) {
        await connection.destroy()
        throw driverError(error)
      }
    }, undefined, owner.ledNowhere)
  }

  /**
   * Runs one statement, which takes a connection for as long as that runs, and a second one where Kysely has to stop it from there. It is
   * run again on another connection, until the timeout, as long as it cannot have been carried out, or does no harm when it is.
   * @throws AcquireTimeoutError when no connection became free in time; one that comes later goes back to the pool
   * @throws what `run` throws
   */
  run<T> (owner: ConnectionOwner, { isRepeatable, isKept, admit }: StatementUse, run: (executor: QueryExecutor) => Promise<T>): Promise<T> {
    const watch = isRepeatable ? new ReadWatch(owner.silence, this.#timeout) : undefined
    let isSent = false
    return untilOneWorks(this.#timeout, ({ deadline }) => {
      isSent = false
      return run(this.#executor(owner, deadline, isKept, watch, () => {
        admit()
        isSent = true
      }))
    }, error => isRepeatable || !isSent || wasNeverSent(error), owner.ledNowhere)
  }

  /** Whether one owner has a connection. */
  has (owner: ConnectionOwner): boolean {
    return this.inUse.some(connection => connection.owner === owner)
  }

  /** Resolves when what came too late is back in the pool, or did not come. Kysely loses a connection that comes when its pool is closed. */
  async settled (): Promise<void> {
    while (this.#late.size > 0) await Promise.allSettled(this.#late)
  }

  /** Asks the server to stop the statements that run now on what one owner has. */
  async cancel (owner: ConnectionOwner): Promise<void> {
    await Promise.allSettled(this.#of(owner).map(connection => connection.cancel()))
  }

  /** Destroys all connections that somebody has. */
  async destroy (): Promise<void> {
    await Promise.allSettled([...this.inUse].map(connection => connection.destroy()))
  }

  /**
   * Destroys, in a while, what one owner has: nobody has any use for it, and the server may never answer.
   * @param isMeant which of them
   * @returns a function that calls it off
   */
  destroyLater (owner: ConnectionOwner, isMeant: (connection: ConnectionInUse) => boolean = () => true): () => void {
    const wait = this.#timeout.start(() => {
      for (const connection of this.#of(owner).filter(isMeant)) void connection.destroy()
    }, this.#timeout.silenceDeadline())
    return () => { this.#timeout.clear(wait) }
  }

  control<T> (owner: ConnectionOwner, consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const executor = owner.client.getExecutor()
    return this.#inTime(this.#timeout.deadline(), arrived => executor.provideConnection(async connection => {
      arrived()
      return await consumer(connection)
    }))
  }

  #of (owner: ConnectionOwner): ConnectionInUse[] {
    return [...this.inUse].filter(connection => connection.owner === owner)
  }

  /** Takes a connection, to be kept until it is released. */
  #take (owner: ConnectionOwner, deadline: number): Promise<PooledConnection> {
    return new Promise((resolve, reject) => {
      const { client } = owner
      const returned = this.#acquire(owner, deadline, arrived => client.connection().execute(async kysely => {
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

  #executor (owner: ConnectionOwner, deadline: number, isKept: () => boolean, watch: ReadWatch | undefined, admit: () => void): QueryExecutor {
    const executor = owner.client.getExecutor()
    let isAdmitted = false
    return executor.withConnectionProvider({
      provideConnection: consumer => this.#acquire(owner, deadline, arrived => executor.provideConnection(async connection => {
        arrived()
        if (!isAdmitted) admit()
        isAdmitted = true
        const inUse = new ConnectionInUse(this, owner, connection)
        let isUsable = true
        try {
          return await (watch?.over(inUse, connection, consumer) ?? consumer(connection)).catch((error: unknown) => {
            isUsable = !leadsNowhere(error)
            throw error
          })
        } finally {
          if (!isUsable || !isKept()) await inUse.destroy()
          inUse.forget()
        }
      }))
    })
  }

  /** The same for one owner, who has it until what `acquire` gives has come. */
  #acquire<T> (owner: ConnectionOwner, deadline: number, acquire: (arrived: () => void) => Promise<T>): Promise<T> {
    const trace = CONNECTION.hasSubscribers && owner.origin !== undefined ? new ConnectionTrace(owner.origin) : undefined
    const returned = this.#inTime(deadline, arrived => acquireAs(owner, acquired => acquire(() => {
      acquired()
      arrived()
      trace?.arrived()
    })))
    return trace === undefined ? returned : trace.until(returned)
  }

  /**
   * Waits for a connection until the deadline, and no longer. Kysely could stop waiting by itself, but prints to the console when what
   * comes too late is an error. What its pool says instead of giving one is remembered as the database's error.
   * @param acquire is to call `arrived` first when it has a connection, which throws when it comes too late
   */
  #inTime<T> (deadline: number, acquire: (arrived: () => void) => Promise<T>): Promise<T> {
    const timeout = this.#timeout
    return new Promise((resolve, reject) => {
      const wait = timeout.start(error => {
        reject(error)
        this.#late.add(acquired)
        void acquired.catch(() => undefined).then(() => this.#late.delete(acquired))
      }, deadline)
      const acquired = acquire(() => timeout.clearInTime(wait))
      acquired.then(resolve, (error: Error) => {
        reject(timeout.clear(wait) ? driverError(error) : error)
      })
    })
  }
}

function acquireAs<T> ({ acquire }: ConnectionOwner, work: (acquired: () => void) => T): T {
  return acquire === undefined ? work(() => {}) : acquire(work)
}
