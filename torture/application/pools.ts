import type { Pool as MySqlPool } from 'mysql2'
import type { Pool as PgPool } from 'pg'

/** The connections to a database, whatever its driver keeps them in. */
export interface Connections {
  /** How many there are that have a socket. */
  readonly pooled: number
  readonly busy: number
  readonly waiting: number
  /** Takes one, for long enough that others are taken meanwhile, and asks it whether it has an open transaction. */
  isInTransaction (): Promise<boolean>
}

type OpenedPool = MySqlPool & Record<'_allConnections' | '_freeConnections' | '_connectionQueue', { length: number }>

/** What MikroORM gives as its native client. */
type Native = OpenedPool | PgPool | { readonly inTransaction: boolean }

export function connectionsOf (client: unknown): Connections {
  const native = client as Native
  if ('inTransaction' in native) return { pooled: 0, busy: 0, waiting: 0, isInTransaction: async () => native.inTransaction }
  return 'totalCount' in native ? ofPostgreSql(native) : ofMySql(native)
}

function ofMySql (pool: OpenedPool): Connections {
  const { length: pooled } = pool._allConnections
  return {
    pooled,
    busy: pooled - pool._freeConnections.length,
    waiting: pool._connectionQueue.length,
    async isInTransaction () {
      const [rows] = await pool.promise().query('select @@in_transaction as open, sleep(0.05)')
      return Number((rows as { open: number }[])[0]?.open) !== 0
    }
  }
}

function ofPostgreSql (pool: PgPool): Connections {
  const { totalCount: pooled } = pool
  return {
    pooled,
    busy: pooled - pool.idleCount,
    waiting: pool.waitingCount,
    async isInTransaction () {
      // The time of a transaction is that of its first statement.
      const { rows } = await pool.query<{ open: boolean }>('select now() <> statement_timestamp() as open, pg_sleep(0.05)')
      return rows[0]?.open !== false
    }
  }
}
