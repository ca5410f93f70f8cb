import type { Pool, PoolConnection } from 'mysql2/promise'

/** The locks of all counters, on one server. */
export class CounterLock {
  readonly #connection: PoolConnection
  #hasBegun = false

  private constructor (connection: PoolConnection) {
    this.#connection = connection
  }

  static async take (pool: Pool): Promise<CounterLock> {
    const lock = new CounterLock(await pool.getConnection())
    await lock.#connection.query('set innodb_lock_wait_timeout = 60')
    await lock.#connection.beginTransaction().then(() => { lock.#hasBegun = true }, () => {})
    await lock.isHeld()
    return lock
  }

  /** A cluster breaks the locks of who is in the way of what was committed elsewhere, and says so when it is asked next. */
  async isHeld (): Promise<boolean> {
    return this.#hasBegun && await this.#connection.query('select * from counter for update').then(() => true, () => false)
  }

  /** A cluster may tell the next statement on it what has become of this transaction. */
  async release (): Promise<void> {
    await this.#connection.rollback().catch(() => undefined)
    this.#connection.destroy()
  }
}
