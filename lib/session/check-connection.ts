import type { Connection, MikroORM } from '@mikro-orm/core'
import { driverOf } from '../drivers/drivers.ts'
import { causesOf } from '../errors/causes.ts'
import { CannotConnectError, InvalidOptionError } from '../errors/errors.ts'
import { withTimeout } from '../waiting.ts'
import { assertCausal, notCausal } from '../transaction/causal-reads.ts'
import type { ConnectionPool } from '../transaction/connection-pool.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import { connectionsOf } from './connections.ts'
import { errorKind } from './error-kind.ts'

/**
 * Connects to a database and its replicas, as their first statement would.
 * @throws CannotConnectError when one cannot be reached, or lets nobody in, or does not answer in time
 */
export async function checkConnections (orm: MikroORM, name: string, milliseconds: number): Promise<void> {
  for (const connection of connectionsOf(orm)) {
    const checked = (async () => {
      await connection.ensureConnection()
      const check = await connection.checkConnection()
      if (!check.ok) throw check.error ?? new Error(check.reason)
    })()
    let isInTime: boolean
    try {
      isInTime = await withTimeout(milliseconds, checked)
    } catch (cause) {
      throw Object.assign(new CannotConnectError(name, `${errorKind(cause) === 'access' ? 'lets nobody in' : 'cannot be reached'}${codeOf(cause)}`), { cause })
    }
    if (!isInTime) throw new CannotConnectError(name, `has not answered within ${milliseconds} ms`)
  }
}

/**
 * Asks the servers of a database whether their reads can wait for what other nodes have committed.
 * @param replicaPool given, its replicas are asked, too. One that cannot be reached is left out when it is needed
 * @throws InvalidOptionError when they cannot
 * @throws CannotConnectError when one cannot be asked
 */
export async function assertCausalReads (orm: MikroORM, name: string, pool: ConnectionPool, replicaPool?: ConnectionPool): Promise<void> {
  const [primary, ...replicas] = connectionsOf(orm) as [Connection, ...Connection[]]
  try {
    await assertCausalOn(primary, name, pool)
  } catch (cause) {
    if (cause instanceof InvalidOptionError) throw cause
    throw Object.assign(new CannotConnectError(name, `cannot be reached${codeOf(cause)}`), { cause })
  }
  if (replicaPool === undefined) return
  for (const asked of await Promise.allSettled(replicas.map(replica => assertCausalOn(replica, name, replicaPool)))) {
    if (asked.status === 'rejected' && asked.reason instanceof InvalidOptionError) throw asked.reason
  }
}

async function assertCausalOn (connection: Connection, name: string, pool: ConnectionPool): Promise<void> {
  if (!isSqlConnection(connection) || driverOf(connection.getClient().getExecutor()).causalReads === undefined) throw notCausal(name)
  const asked = await pool.acquire({ get client () { return connection.getClient() } }, async (pooled, inTime) => {
    await inTime(assertCausal(pooled, name))
    return pooled
  })
  await asked.release()
}

function codeOf (error: unknown): string {
  const code = [...causesOf(error)].map(cause => (cause as { code?: unknown }).code).find(code => typeof code === 'string')
  return code === undefined ? '' : ` (${code})`
}
