import type { DatabaseConnection, Kysely } from 'kysely'
import { IsolationLostError, IsolationReleasedError } from '../errors/errors.ts'
import { ConnectionPool } from '../transaction/connection-pool.ts'
import type { PooledConnection } from '../transaction/pooled-connection.ts'
import type { SqlPlatform } from '../transaction/sql-connection.ts'
import { commandsOn, type TransactionCommands } from '../transaction/transaction-commands.ts'
import { withTimeout } from '../waiting.ts'
import { ConnectionLock } from './connection-lock.ts'

/** For as long as it can be rolled back to, the transaction is the one that was begun. */
const BASE = 'isolation'

/** The outer transaction of an isolation, on a connection of its own that is held until the end. */
export class OuterTransaction {
  readonly lock: ConnectionLock
  readonly savepoints: Savepoints
  /** The driver's own connection. */
  readonly connection: DatabaseConnection
  readonly #pooled: PooledConnection
  readonly #commands: TransactionCommands
  readonly #acquireTimeout: number
  #lost: Error | undefined

  private constructor (pooled: PooledConnection, commands: TransactionCommands, acquireTimeout: number) {
    this.lock = new ConnectionLock(acquireTimeout)
    this.savepoints = new Savepoints(commands)
    this.connection = pooled.connection
    this.#pooled = pooled
    this.#commands = commands
    this.#acquireTimeout = acquireTimeout
  }

  /**
   * Takes a connection and begins. It is none of those that the application's units of work have, so nobody cancels or destroys it with them.
   * @throws AcquireTimeoutError, and what the database says
   */
  static async begin (client: Kysely<unknown>, platform: SqlPlatform, acquireTimeout: number): Promise<OuterTransaction> {
    return await new ConnectionPool(acquireTimeout).acquire({ client }, async (pooled, inTime) => {
      const commands = commandsOn(pooled, platform)
      await inTime(commands.begin({}))
      await inTime(commands.savepoint(BASE))
      return new OuterTransaction(pooled, commands, acquireTimeout)
    })
  }

  /** Asks the server to stop the statement that runs, where the driver can. */
  async cancel (): Promise<void> {
    await this.#pooled.cancel()
  }

  /** It is gone: nothing is let through from now on, since it would be committed at once. Gives the error to throw. */
  lose (why: string, cause?: unknown): Error {
    this.#lost ??= answered(Object.assign(new IsolationLostError(why), { cause }))
    this.lock.close(this.#lost)
    return this.#lost
  }

  /**
   * Rolls back and gives the connection back, by force if it does not answer in time.
   * @throws IsolationLostError when something may be left in the database
   */
  async rollback (): Promise<void> {
    this.lock.close(new IsolationReleasedError())
    try {
      if (!await withTimeout(this.#acquireTimeout, this.#rollback())) {
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

  async #rollback (): Promise<void> {
    const { command } = this.lock
    await (command?.close?.() ?? command?.over)
    try {
      await this.#commands.rollbackToSavepoint(BASE)
    } catch (error) {
      this.lose('the database has ended it by itself', error)
    }
    await this.#commands.rollback()
    await this.#pooled.release()
  }
}

export interface Savepoint {
  /** Its name in the database: a number of its own, since MikroORM gives the same few names again and again. */
  readonly name: string
  /** `lost`: something that encloses it was rolled back, and this with it. */
  state: 'open' | 'released' | 'lost'
}

/**
 * The savepoints of one transaction, in the order in which they were set. They belong to units of work that know nothing of
 * each other, so an outer one may well end before an inner one.
 */
export class Savepoints {
  readonly #transaction: TransactionCommands
  readonly #stack: Savepoint[] = []
  #count = 0

  constructor (transaction: TransactionCommands) {
    this.#transaction = transaction
  }

  async set (): Promise<Savepoint> {
    const savepoint: Savepoint = { name: `isolated_${++this.#count}`, state: 'open' }
    await this.#transaction.savepoint(savepoint.name)
    this.#stack.push(savepoint)
    return savepoint
  }

  /**
   * Releases. RELEASE would take inner ones with it that may still have to roll back, so it is sent only when there are none:
   * releasing later changes nothing.
   */
  async release (...savepoints: Savepoint[]): Promise<void> {
    for (const savepoint of savepoints) savepoint.state = 'released'
    const lowest = this.#stack.findLastIndex(({ state }) => state === 'open') + 1
    const first = this.#stack[lowest]
    if (first === undefined) return
    await this.#transaction.releaseSavepoint(first.name)
    this.#stack.splice(lowest)
  }

  /** Rolls back to a savepoint, which stays. All that were set after it are lost. */
  async rollbackTo (savepoint: Savepoint): Promise<void> {
    await this.#transaction.rollbackToSavepoint(savepoint.name)
    for (const inner of this.#stack.splice(this.#stack.indexOf(savepoint) + 1)) inner.state = 'lost'
  }
}

/** SQLSTATE 40000, "transaction rollback". */
const ROLLED_BACK = '40000'

/** Marks an error as a server's answer: a COMMIT that fails with it was certainly not carried out (see `commitError`). */
export function answered<T extends Error> (error: T): T {
  return Object.assign(error, { sqlState: ROLLED_BACK })
}
