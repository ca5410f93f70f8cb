import type { Connection, Platform } from '@mikro-orm/core'
import type { ControlConnectionProvider, DatabaseConnection, Kysely } from 'kysely'
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
  readonly #own = new Loans()

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
    await this.#own.cancel()
  }

  #take (): Promise<HeldConnection> {
    return new Promise((resolve, reject) => {
      const returned = this.#borrow(async kysely => {
        const released = Promise.withResolvers<void>()
        const connection = await kysely.getExecutor().provideConnection(async connection => connection)
        const sever = severable(connection)
        const release = async () => {
          for (const loans of [this.#own, this.#all]) loans.delete(held)
          released.resolve()
          await returned
        }
        const control: ControlConnectionProvider = consumer => this.#borrow(other => other.getExecutor().provideConnection(consumer))
        const held: HeldConnection = {
          kysely,
          release,
          discard: async () => {
            if (this.#own.has(held)) {
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
        for (const loans of [this.#own, this.#all]) loans.add(held)
        resolve(held)
        await released.promise
      })
      returned.catch(reject)
    })
  }

  /** Kysely could stop waiting by itself, but prints to the console when what comes too late is an error. */
  #borrow<T> (use: (kysely: Kysely<unknown>) => Promise<T>): Promise<T> {
    const late = new AcquireTimeoutError(this.#patience)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { isLate = true; reject(late) }, this.#patience)
      let isLate = false
      this.#client.connection().execute(async kysely => {
        clearTimeout(timer)
        if (isLate) throw late
        return await use(kysely)
      }).finally(() => clearTimeout(timer)).then(resolve, reject)
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
