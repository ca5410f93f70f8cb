import { driverOf } from '../drivers/drivers.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import type { ConnectionPool } from './connection-pool.ts'
import type { SqlConnection } from './sql-connection.ts'
import { leadsNowhere } from './until-one-works.ts'

/** Each is asked once. */
const ASKED = new WeakMap<SqlConnection, Promise<boolean>>()

/**
 * Asks a server, once, whether its reads can wait for what other nodes of its cluster have committed.
 * @param name of its database, for the error
 * @throws InvalidOptionError when they cannot
 * @throws what the database says when it cannot be reached
 */
export async function assertCausal (connection: SqlConnection, name: string, pool: ConnectionPool): Promise<void> {
  let asked = ASKED.get(connection)
  if (asked === undefined) {
    asked = isCausal(connection, pool)
    ASKED.set(connection, asked)
    asked.catch(() => { ASKED.delete(connection) })
  }
  if (!await asked) throw notCausal(name)
}

export function notCausal (name: string): Error {
  return new InvalidOptionError('the option "causalReads"', 'a node of a cluster that can wait for the others', `"${name}", which is none`)
}

async function isCausal (connection: SqlConnection, pool: ConnectionPool): Promise<boolean> {
  const { causalReads } = driverOf(connection.getClient().getExecutor())
  if (causalReads === undefined) return false
  try {
    const [row] = await pool.ask({ get client () { return connection.getClient() } }, rawQuery<{ supported: unknown }>(causalReads.check))
    return Number(row?.supported) === 1
  } catch (error) {
    // There are servers that do not know the question.
    if (leadsNowhere(error)) throw error
    return false
  }
}
