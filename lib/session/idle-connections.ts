import type { MikroORM } from '@mikro-orm/core'
import { driverOf } from '../drivers/drivers.ts'
import { isSqlConnection, nativeClient, type SqlConnection } from '../transaction/sql-connection.ts'
import { connectionsOf } from './connections.ts'

/** How many connections of an ORM's pools nobody has, as far as its driver tells. Connects to no database. */
export async function idleConnections (orm: MikroORM): Promise<number | undefined> {
  const counts = await Promise.all(connectionsOf(orm).filter(isSqlConnection).map(idleIn))
  const known = counts.filter(count => count !== undefined)
  return known.length === 0 ? undefined : known.reduce((sum, count) => sum + count, 0)
}

async function idleIn (connection: SqlConnection): Promise<number | undefined> {
  if (!connection['connected']) return undefined
  return driverOf(connection.getClient().getExecutor()).idleIn(Object(await nativeClient(connection)))
}
