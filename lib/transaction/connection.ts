import type { Connection, Platform } from '@mikro-orm/core'
import type { ControlConnectionProvider, DatabaseConnection, Kysely, QueryExecutor } from 'kysely'
import { databaseError } from '../database-error.ts'
import { AcquireTimeoutError, scopeIs } from '../errors.ts'
import { Loans, type Loan } from './loans.ts'
import type { BeginOptions } from './rules.ts'
import { severable } from './severable.ts'

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
export interface HeldConnection extends Loan {
  /** Kysely on this one connection. */
  readonly kysely: Kysely<unknown>
  /** Gives the connection back to its pool; resolves when it is there. */
  release (): Promise<void>
}

/** Takes connections from the pool for one session, and knows which of them it has. */
export class Lender {
  readonly #client: Kysely<unknown>
  readonly #patience: number
  readonly #all: Loans
  /** Those of this lender, once there was one. */
  #own: Loans | undefined

  /**
   * @param patience how long to wait for a connection, in milliseconds
   * @param all the loans of the whole database, which those of this lender are among
   */
  constructor (client: Kysely<unknown>, patience: number, all: Loans) {
    this.#client = client
    this.#patience = patience
    this.#all = all
  }

  /**
   * Takes a connection for as long as `use` takes.
   * @throws AcquireTimeoutError when none became free in time; one that comes later goes back to the pool
   * @throws what `use` throws
   */
  lend<T> (use: (executor: QueryExecutor) => Promise<T>): Promise<T> {
    const executor = this.#client.getExecutor()
    return this.#patiently(wanted => executor.provideConnection(async connection => {
      wanted()
      const loan = this.#loan(connection, async () => {})
      try {
        return await use(executor.withConnectionProvider({ provideConnection: async consumer => await consumer(connection) }))
      } finally {
        this.#forget(loan)
      }
    }))
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
    await this.#own?.cancel()
  }

  #take (): Promise<HeldConnection> {
    return new Promise((resolve, reject) => {
      const returned = this.#patiently(wanted => this.#client.connection().execute(async kysely => {
        wanted()
        const released = Promise.withResolvers<void>()
        const connection = await kysely.getExecutor().provideConnection(async connection => connection)
        const release = async () => {
          this.#forget(held)
          released.resolve()
          await returned
        }
        const held = Object.assign(this.#loan(connection, release), { kysely, release })
        resolve(held)
        await released.promise
      }))
      returned.catch(reject)
    })
  }

  /** @param release gives the place in the pool back */
  #loan (connection: DatabaseConnection, release: () => Promise<void>): Loan {
    const own = this.#own ??= new Loans()
    const sever = severable(connection)
    const control: ControlConnectionProvider = consumer => this.#patiently(async wanted => await this.#client.getExecutor().provideConnection(async other => {
      wanted()
      return await consumer(other)
    }))
    const loan: Loan = {
      discard: async () => {
        if (own.has(loan)) {
          kill(connection, control)
          sever(scopeIs('closed'))
        }
        await release()
      },
      cancel: async () => {
        await connection.collectSessionInfo?.()
        await connection.cancelQuery?.(control)
      }
    }
    own.add(loan)
    this.#all.add(loan)
    return loan
  }

  #forget (loan: Loan): void {
    this.#own?.delete(loan)
    this.#all.delete(loan)
  }

  /**
   * Waits for a connection no longer than the patience lasts. Kysely could stop waiting by itself, but prints to the console when what
   * comes too late is an error.
   * @param borrow is to call `wanted` first when it has a connection, which throws when it comes too late
   */
  #patiently<T> (borrow: (wanted: () => void) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let late: Error | undefined
      const timer = setTimeout(() => {
        late = new AcquireTimeoutError(this.#patience)
        reject(late)
      }, this.#patience)
      const wanted = () => {
        clearTimeout(timer)
        if (late !== undefined) throw late
      }
      borrow(wanted).then(resolve, (error: Error) => {
        clearTimeout(timer)
        reject(error)
      })
    })
  }
}

/**
 * Closes a connection, as far as its driver can. mysql2 does its own part at once; then drivers may ask the server, on
 * another connection, to end the statement that runs, for which nobody waits: it may never answer.
 */
function kill (connection: DatabaseConnection, control: ControlConnectionProvider): void {
  void quietly(() => connection.collectSessionInfo?.())
  void quietly(() => connection.killSession?.(control))
}

async function quietly (work: () => Promise<unknown> | undefined): Promise<void> {
  try {
    await work()
  } catch {
    // The connection may be beyond all that.
  }
}

/** Makes `getClient()` work before the first statement. Opens no connection. */
export async function prepareConnection (connection: Connection): Promise<void> {
  if (isSqlConnection(connection)) await connection.initClient()
}
