import type { ControlledTransaction, DatabaseConnection, Kysely } from 'kysely'
import { IsolationLostError, IsolationReleasedError } from '../errors/errors.ts'
import { ConnectionPool, type PooledConnection } from '../transaction/connection-pool.ts'
import { withTimeout } from '../timeout.ts'
import { Admission } from './connection-lock.ts'
import { answered } from './answered.ts'
import { Savepoints } from './savepoints.ts'

/** For as long as it can be rolled back to, the transaction is the one that was begun. */
const BASE = 'isolation'

/** The outer transaction of an isolation, on a connection of its own that is held until the end. */
export class OuterTransaction {
  readonly admission: Admission
  readonly savepoints: Savepoints
  /** The driver's own connection. */
  readonly connection: DatabaseConnection
  readonly #pooled: PooledConnection
  readonly #kysely: ControlledTransaction<unknown>
  readonly #acquireTimeout: number
  #lost: Error | undefined

  private constructor (pooled: PooledConnection, kysely: ControlledTransaction<unknown>, connection: DatabaseConnection, acquireTimeout: number) {
    this.admission = new Admission(acquireTimeout)
    this.savepoints = new Savepoints(kysely)
    this.connection = connection
    this.#pooled = pooled
    this.#kysely = kysely
    this.#acquireTimeout = acquireTimeout
  }

  /**
   * Takes a connection and begins. It is none of those that the application's units of work have, so nobody cancels or destroys it with them.
   * @throws AcquireTimeoutError, and what the database says
   */
  static async begin (client: Kysely<unknown>, { acquireTimeout }: ConnectionPool): Promise<OuterTransaction> {
    const pooled = await new ConnectionPool(acquireTimeout).acquire({ client })
    try {
      const kysely = await pooled.kysely.startTransaction().execute()
      await kysely.savepoint(BASE).execute()
      const connection = await kysely.getExecutor().provideConnection(async connection => connection)
      return new OuterTransaction(pooled, kysely, connection, acquireTimeout)
    } catch (error) {
      await pooled.destroy()
      throw error
    }
  }

  /** Asks the server to stop the statement that runs, where the driver can. */
  async cancel (): Promise<void> {
    await this.#pooled.cancel()
  }

  /** It is gone: nothing is let through from now on, since it would be committed at once. Gives the error to throw. */
  lose (why: string, cause?: unknown): Error {
    this.#lost ??= answered(Object.assign(new IsolationLostError(why), { cause }))
    this.admission.close(this.#lost)
    return this.#lost
  }

  /**
   * Rolls back and gives the connection back, by force if it does not answer in time.
   * @throws IsolationLostError when something may be left in the database
   */
  async rollBack (): Promise<void> {
    this.admission.close(new IsolationReleasedError())
    try {
      if (!await withTimeout(this.#acquireTimeout, this.#finish())) {
        this.lose(`its connection did not answer within ${this.#acquireTimeout} ms`)
        await withTimeout(this.#acquireTimeout, this.cancel())
      }
    } catch (error) {
      this.lose('its connection cannot roll back', error)
    }
    // Where it was given back there is nothing left to destroy.
    await this.#pooled.destroy()
    if (this.#lost !== undefined) throw this.#lost
  }

  async #finish (): Promise<void> {
    const { turn } = this.admission
    await (turn?.cut?.() ?? turn?.ended)
    try {
      await this.#kysely.rollbackToSavepoint(BASE as never).execute()
    } catch (error) {
      this.lose('the database has ended it by itself', error)
    }
    await this.#kysely.rollback().execute()
    await this.#pooled.release()
  }
}
