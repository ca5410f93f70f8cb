import type { Connection, MikroORM } from '@mikro-orm/core'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import { withTimeout } from '../waiting.ts'
import { connecting } from '../transaction/connecting.ts'
import type { ConnectionPool } from '../transaction/connection-pool.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import { connectionsOf } from './connections.ts'

/** Whether a database, and its replicas, answer. It is asked once at a time: one that does not answer is not asked again meanwhile. */
export class HealthCheck {
  readonly #orm: MikroORM
  readonly #pool: ConnectionPool
  #asking: Promise<void> | undefined

  constructor (orm: MikroORM, pool: ConnectionPool) {
    this.#orm = orm
    this.#pool = pool
  }

  /** Never throws, and never waits longer. Whatever is still asked then ends with the time limit of the pool. */
  async passes (milliseconds: number): Promise<boolean> {
    this.#asking ??= this.#ask().finally(() => { this.#asking = undefined })
    try {
      return await withTimeout(milliseconds, this.#asking)
    } catch {
      return false
    }
  }

  async #ask (): Promise<void> {
    const answers = await Promise.allSettled(connectionsOf(this.#orm).map(connection => ask(connection, this.#pool)))
    if (answers.some(({ status }) => status === 'rejected')) throw new Error('a database does not answer')
  }
}

/** On a connection of the pool, as a statement would: one that leads nowhere is destroyed, and another one asked. */
async function ask (connection: Connection, pool: ConnectionPool): Promise<void> {
  if (!isSqlConnection(connection)) {
    const check = await connection.checkConnection()
    if (!check.ok) throw new Error(check.reason)
    return
  }
  await connecting(connection)
  await pool.ask({ client: connection.getClient() }, rawQuery('select 1'))
}
