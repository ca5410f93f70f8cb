import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlORM } from '../../test/support/databases.ts'
import type { Descriptors } from './descriptors.ts'
import type { ApplicationState } from './messages.ts'
import { connectionsOf, type Connections } from './pools.ts'

/** Looks at what requests have left behind. To be called when none runs. */
export async function inspect (app: FastifyInstance, orms: readonly SqlORM[], connections: number, descriptors: Descriptors): Promise<ApplicationState> {
  const pools = await Promise.all(orms.map(async orm => connectionsOf(await orm.driver.getConnection().getNativeClient())))
  const found = await Promise.all(pools.map(async pool => await inspectConnections(pool, connections)))
  const pooled = pools.reduce((sum, { pooled }) => sum + pooled, 0)
  return {
    openScopes: app.db.openScopes,
    pool: found.flat(),
    descriptors: await descriptors.leftBehind(pooled),
    heapUsed: await heapUsed()
  }
}

async function inspectConnections (pool: Connections, connections: number): Promise<string[]> {
  const found: string[] = []
  if (pool.busy > 0) found.push(`${pool.busy} connections are not back in the pool`)
  if (pool.waiting > 0) found.push(`${pool.waiting} wait for a connection`)
  if (found.length > 0) return found
  // Every one at once, so that none is asked twice.
  const answers = await Promise.allSettled(Array.from({ length: connections }, async () => await pool.isInTransaction()))
  return answers.flatMap(answer => {
    if (answer.status === 'rejected') return [`a pooled connection is not usable: ${String(answer.reason)}`]
    return answer.value ? ['a pooled connection has an open transaction'] : []
  })
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
