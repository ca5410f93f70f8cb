import type { ControlledTransaction, DatabaseConnection, Kysely } from 'kysely'
import { IsolationLostError, IsolationReleasedError } from '../errors/errors.ts'
import { Lender, type HeldConnection } from '../transaction/connection-pool.ts'
import { Loans } from '../transaction/loans.ts'
import type { PoolRules } from '../transaction/contracts.ts'
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
  readonly #held: HeldConnection
  readonly #kysely: ControlledTransaction<unknown>
  readonly #patience: number
  #lost: Error | undefined

  private constructor (held: HeldConnection, kysely: ControlledTransaction<unknown>, connection: DatabaseConnection, patience: number) {
    this.admission = new Admission(patience)
    this.savepoints = new Savepoints(kysely)
    this.connection = connection
    this.#held = held
    this.#kysely = kysely
    this.#patience = patience
  }

  /**
   * Takes a connection from the pool and begins.
   * @throws AcquireTimeoutError, and what the database says
   */
  static async begin (client: Kysely<unknown>, { patience }: PoolRules): Promise<OuterTransaction> {
    const held = await new Lender(client, patience, new Loans()).hold()
    try {
      const kysely = await held.kysely.startTransaction().execute()
      await kysely.savepoint(BASE).execute()
      const connection = await kysely.getExecutor().provideConnection(async connection => connection)
      return new OuterTransaction(held, kysely, connection, patience.milliseconds)
    } catch (error) {
      await held.discard()
      throw error
    }
  }

  /** Asks the server to stop the statement that runs, where the driver can. */
  async cancel (): Promise<void> {
    await this.#held.cancel()
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
      if (!await withTimeout(this.#patience, this.#finish())) {
        this.lose(`its connection did not answer within ${this.#patience} ms`)
        await withTimeout(this.#patience, this.cancel())
      }
    } catch (error) {
      this.lose('its connection cannot roll back', error)
    }
    // Where it was given back there is nothing left to discard.
    await this.#held.discard()
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
    await this.#held.release()
  }
}
