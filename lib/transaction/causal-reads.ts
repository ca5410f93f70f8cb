import type { Kysely } from 'kysely'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import type { ConnectionInUse } from './pooled-connection.ts'

/** Those whose servers are known to be such nodes. */
const CAUSAL = new WeakSet<Kysely<unknown>>()

/**
 * Asks a server, until it is known, whether its reads can wait for what other nodes of its cluster have committed.
 * @param name of its database, for the error
 * @throws InvalidOptionError when they cannot
 * @throws what the database says when it cannot be asked
 */
export async function assertCausal (connection: ConnectionInUse, name: string): Promise<void> {
  const { client } = connection.owner
  if (CAUSAL.has(client)) return
  if (!await isCausal(connection)) throw notCausal(name)
  CAUSAL.add(client)
}

export function notCausal (name: string): Error {
  return new InvalidOptionError('the option "causalReads"', 'a node of a cluster that can wait for the others', `"${name}", which is none`)
}

async function isCausal (connection: ConnectionInUse): Promise<boolean> {
  const { causalReads } = connection.driver
  return causalReads !== undefined && (await connection.send(rawQuery(causalReads.check))).rows.length > 0
}
