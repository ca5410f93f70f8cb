import type { FastifyInstance } from 'fastify'
import type { Pool } from 'mysql2'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlORM } from '../../test/support/databases.ts'
import type { Descriptors } from './descriptors.ts'
import type { ApplicationState } from './messages.ts'

type OpenedPool = Pool & Record<'_allConnections' | '_freeConnections' | '_connectionQueue', { length: number }>

/** Looks at what requests have left behind. To be called when none runs. */
export async function inspect (app: FastifyInstance, orms: readonly SqlORM[], connections: number, descriptors: Descriptors): Promise<ApplicationState> {
  const pools = await Promise.all(orms.map(async orm => await orm.driver.getConnection().getNativeClient() as OpenedPool | { inTransaction: boolean }))
  const found = await Promise.all(pools.map(async pool => await inspectConnections(pool, connections)))
  const pooled = pools.reduce((sum, pool) => sum + ('inTransaction' in pool ? 0 : pool._allConnections.length), 0)
  return {
    openScopes: app.db.openScopes,
    pool: found.flat(),
    descriptors: await descriptors.leftBehind(pooled),
    heapUsed: await heapUsed()
  }
}

async function inspectConnections (client: OpenedPool | { inTransaction: boolean }, connections: number): Promise<string[]> {
  if ('inTransaction' in client) return client.inTransaction ? ['the connection has an open transaction'] : []
  const found: string[] = []
  const busy = client._allConnections.length - client._freeConnections.length
  if (busy > 0) found.push(`${busy} connections are not back in the pool`)
  if (client._connectionQueue.length > 0) found.push(`${client._connectionQueue.length} wait for a connection`)
  if (found.length > 0) return found
  // Every one at once, so that none is asked twice.
  const answers = await Promise.allSettled(Array.from({ length: connections }, () => askConnection(client)))
  return answers.flatMap(answer => answer.status === 'rejected' ? [`a pooled connection is not usable: ${String(answer.reason)}`] : answer.value)
}

async function askConnection (pool: Pool): Promise<string[]> {
  const connection = await pool.promise().getConnection()
  try {
    const [rows] = await connection.query('select @@in_transaction as open, sleep(0.05)')
    return Number((rows as { open: number }[])[0]?.open) === 0 ? [] : ['a pooled connection has an open transaction']
  } finally {
    connection.release()
  }
}

/** The least of several, since what has just become garbage takes more than one collection to go. */
async function heapUsed (): Promise<number> {
  let least = Infinity
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.()
    least = Math.min(least, process.memoryUsage().heapUsed)
    await sleep(20)
  }
  return least
}
