import type { CompiledQuery, DatabaseConnection, Kysely, QueryResult } from 'kysely'
import { Bag } from '../bag.ts'
import { CONNECTION } from '../diagnostics/channels.ts'
import { ConnectionTrace } from '../diagnostics/connection-trace.ts'
import { driverError, wasNeverSent } from '../drivers/errors.ts'
import { AcquireTimeout } from './acquire-timeout.ts'
import { Counts } from './counts.ts'
import { ConnectionInUse, PooledConnection, type ConnectionOwner, type PoolInUse } from './pooled-connection.ts'
import { SilenceWatch } from './silence-watch.ts'
import { beginsByKysely } from './transaction-commands.ts'
import { leadsNowhere, untilOneWorks } from './until-one-works.ts'

/** How a statement that has no transaction is run. */
interface StatementUse {
  /** Whether it does no harm when it is run again after a connection was lost. */
  readonly isRepeatable: boolean
  /** Whether its connection goes back to the pool; asked when it has run. */
  isKept (): boolean
  /** Is called when a connection has come; what it throws is thrown instead of sending the statement. */
  admit (): void
}

/** Waits for an answer, but no longer than for a server that can be reached. */
export type InTime = <T>(work: Promise<T>) => Promise<T>

/**
 * The connections of one database. Those that are free are Kysely's to keep; who has which of the others, for how long somebody may
 * wait for one, and what becomes of one that leads nowhere, is known here.
 */
export class ConnectionPool implements PoolInUse {
  readonly inUse = new Bag<ConnectionInUse>()
  readonly counts = new Counts()
  readonly #timeout: AcquireTimeout
  /** What has a connection, or waits for one, that perhaps nobody waits for. */
  readonly #unattended = new Set<Promise<unknown>>()

  /** @param acquireTimeout how long to wait for a connection that works, in milliseconds */
  constructor (acquireTimeout: number) {
    this.#timeout = new AcquireTimeout(acquireTimeout)
  }

  get acquireTimeout (): number {
    return this.#timeout.milliseconds
  }

  /**
   * Takes a connection on which `prove` goes through. One that leads nowhere is destroyed, and another taken, until the timeout.
   * @param prove begins what the connection is taken for. What a server that can be reached answers at once is to be waited for `inTime`
   * @param mayWait whether it may wait for other servers first
   * @returns what `prove` gives
   * @throws AcquireTimeoutError when none became free, or none has answered, in time; one that comes later goes back to the pool
   * @throws what `prove` throws, or what the database says when no connection can be made
   */
  acquire<T> (owner: ConnectionOwner, prove: (connection: PooledConnection, inTime: InTime) => Promise<T>, mayWait = false): Promise<T> {
    return untilOneWorks(this.#timeout, async attempt => {
      const connection = await this.#take(owner, attempt.deadline)
      try {
        return await prove(connection, work => this.#timeout.limit(connection.isFresh || mayWait ? attempt.deadline : attempt.silenceDeadline, work))
      } catch (error) {
        await connection.destroy()
        throw driverError(error)
      }
    }, undefined, owner.ledNowhere)
  }

  /**
   * Sends one statement, on a connection that it has for as long as that runs. It is sent again on another one, until the timeout, as long
   * as it cannot have been carried out, or does no harm when it is.
   * @throws AcquireTimeoutError when no connection became free in time; one that comes later goes back to the pool
   * @throws what the database says
   */
  send<R> (owner: ConnectionOwner, query: CompiledQuery<R>, use: StatementUse): Promise<QueryResult<R>> {
    let watch: SilenceWatch | undefined
    let isSent = false
    return untilOneWorks(this.#timeout, ({ deadline }) => {
      isSent = false
      // The next one may lead to another server.
      if (use.isRepeatable && watch?.silence !== owner.silence) watch = this.watch(owner)
      const executor = owner.client.getExecutor()
      return this.#acquire(owner, deadline, arrived => executor.provideConnection(connection => {
        arrived()
        use.admit()
        isSent = true
        return this.#sendOn(new ConnectionInUse(this, owner, connection), query, use, watch)
      }))
    }, error => use.isRepeatable || !isSent || wasNeverSent(error), owner.ledNowhere)
  }

  async #sendOn<R> (inUse: ConnectionInUse, query: CompiledQuery<R>, { isKept }: StatementUse, watch: SilenceWatch | undefined): Promise<QueryResult<R>> {
    let isUsable = true
    try {
      return await (watch?.over(inUse, () => inUse.send(query)) ?? inUse.send(query)).catch((error: unknown) => {
        isUsable = !leadsNowhere(error)
        throw error
      })
    } finally {
      if (!isUsable || !isKept()) await inUse.destroy()
      inUse.forget()
    }
  }

  /** Asks one thing, on a connection that has to answer in time. */
  ask<R> (owner: ConnectionOwner, query: CompiledQuery<R>): Promise<R[]> {
    const asked = this.acquire(owner, async (pooled, inTime) => ({ pooled, rows: (await inTime(pooled.send(query))).rows })).then(async ({ pooled, rows }) => {
      await pooled.release()
      return rows
    })
    this.#remember(asked)
    return asked
  }

  /** What looks whether the server works on a statement. Gives nothing where nobody can be asked: then it is waited for as long as it takes. */
  watch ({ silence }: ConnectionOwner): SilenceWatch | undefined {
    return silence && new SilenceWatch(silence, this.#timeout)
  }

  /** Whether one owner has a connection. */
  has (owner: ConnectionOwner): boolean {
    return this.inUse.some(connection => connection.owner === owner)
  }

  /** Resolves when what nobody waits for is back in the pool, or did not come. Kysely loses a connection that comes when its pool is closed. */
  async settled (): Promise<void> {
    while (this.#unattended.size > 0) await Promise.allSettled(this.#unattended)
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

  #remember (work: Promise<unknown>): void {
    this.#unattended.add(work)
    void work.catch(() => undefined).then(() => this.#unattended.delete(work))
  }

  #of (owner: ConnectionOwner): ConnectionInUse[] {
    return [...this.inUse].filter(connection => connection.owner === owner)
  }

  /** Takes a connection, to be kept until it is released. */
  #take (owner: ConnectionOwner, deadline: number): Promise<PooledConnection> {
    return new Promise((resolve, reject) => {
      const { client } = owner
      const released = Promise.withResolvers<void>()
      const release = () => {
        released.resolve()
        return returned
      }
      const keep = (connection: DatabaseConnection, kysely?: Kysely<unknown>) => {
        resolve(new PooledConnection(this, owner, connection, kysely, release))
        return released.promise
      }
      const returned = this.#acquire(owner, deadline, beginsByKysely(client)
        ? arrived => client.connection().execute(async kysely => {
          arrived()
          await keep(await kysely.getExecutor().provideConnection(async connection => connection), kysely)
        })
        : arrived => client.getExecutor().provideConnection(connection => {
          arrived()
          return keep(connection)
        }))
      returned.catch(reject)
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
    const { counts } = this
    counts.waiting++
    return new Promise((resolve, reject) => {
      const wait = timeout.start(error => {
        counts.waiting--
        reject(error)
        this.#remember(acquired)
      }, deadline)
      const acquired = acquire(() => {
        timeout.clearInTime(wait)
        counts.waiting--
      })
      acquired.then(resolve, (error: Error) => {
        const hasNone = timeout.clear(wait)
        if (hasNone) counts.waiting--
        reject(hasNone ? driverError(error) : error)
      })
    })
  }
}

function acquireAs<T> ({ acquire }: ConnectionOwner, work: (acquired: () => void) => T): T {
  return acquire === undefined ? work(() => {}) : acquire(work)
}
