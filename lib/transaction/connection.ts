import type { Connection, Platform } from '@mikro-orm/core'
import type { ControlConnectionProvider, Kysely } from 'kysely'
import { databaseError } from '../database-error.ts'
import { AcquireTimeoutError } from '../errors.ts'
import type { BeginOptions } from './rules.ts'

/** What a transaction needs of MikroORM's `AbstractSqlConnection`; the package does not depend on a SQL driver. */
export interface SqlConnection extends Connection {
  getClient (): Kysely<unknown>
  initClient (): Promise<void>
  getPlatform (): SqlPlatform
}

interface SqlPlatform extends Platform {
  getBeginTransactionSQL (options: BeginOptions): string[]
  getCommitTransactionSQL (): string
  getRollbackTransactionSQL (): string
}

/** Whether a connection speaks SQL through Kysely, so that a transaction can be begun lazily on it. */
export function isSqlConnection (connection: Connection): connection is SqlConnection {
  return 'getClient' in connection && 'initClient' in connection
}

/** A pooled connection that is held until it is released. */
export interface HeldConnection {
  /** Kysely on this one connection. */
  readonly kysely: Kysely<unknown>
  /** Gives the connection back to its pool; resolves when it is there. */
  release (): Promise<void>
  /** Closes the connection, so that whatever is open on it ends on the server, and frees its place in the pool. */
  discard (): Promise<void>
  /** Asks the server to stop the statement that runs on this connection now, where the driver can. */
  cancel (): Promise<void>
}

/** Takes connections from the pool for one session, and knows which of them it has. */
export class Lender {
  readonly #client: Kysely<unknown>
  readonly #patience: number
  readonly #lent = new Set<HeldConnection>()

  /** @param patience how long to wait for a connection, in milliseconds */
  constructor (client: Kysely<unknown>, patience: number) {
    this.#client = client
    this.#patience = patience
  }

  /**
   * Takes a connection and keeps it.
   * @throws AcquireTimeoutError when none became free in time; one that comes later goes back to the pool
   */
  async hold (): Promise<HeldConnection> {
    try {
      return await this.#take()
    } catch (error) {
      throw databaseError(error)
    }
  }

  /** Asks the server to stop the statements that run now on what was lent. */
  async cancel (): Promise<void> {
    await Promise.allSettled([...this.#lent].map(held => held.cancel()))
  }

  #take (): Promise<HeldConnection> {
    return new Promise((resolve, reject) => {
      const returned = this.#borrow(async kysely => {
        const released = Promise.withResolvers<void>()
        const connection = await kysely.getExecutor().provideConnection(async connection => connection)
        const release = async () => {
          this.#lent.delete(held)
          released.resolve()
          await returned
        }
        const control: ControlConnectionProvider = consumer => this.#borrow(other => other.getExecutor().provideConnection(consumer))
        const held: HeldConnection = {
          kysely,
          release,
          discard: async () => {
            await connection.killSession?.(control)
            await release()
          },
          cancel: async () => {
            await connection.collectSessionInfo?.()
            await connection.cancelQuery?.(control)
          }
        }
        this.#lent.add(held)
        resolve(held)
        await released.promise
      })
      returned.catch(reject)
    })
  }

  async #borrow<T> (use: (kysely: Kysely<unknown>) => Promise<T>): Promise<T> {
    const waiting = new AbortController()
    const timer = setTimeout(() => waiting.abort(new AcquireTimeoutError(this.#patience)), this.#patience)
    try {
      return await this.#client.connection().execute(kysely => {
        clearTimeout(timer)
        return use(kysely)
      }, { signal: waiting.signal })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Makes `getClient()` work before the first statement. Opens no connection. */
export async function prepareConnection (connection: Connection): Promise<void> {
  if (isSqlConnection(connection)) await connection.initClient()
}
