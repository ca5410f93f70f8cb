import type { MikroORM } from '@mikro-orm/core'
import type { DatabaseTarget } from '../diagnostics/messages.ts'
import { driverOf } from '../drivers/drivers.ts'
import { UNKNOWN } from '../drivers/unknown.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import { connectionsOf } from './connections.ts'

/** Where the database of an ORM is. Connects to none. */
export function targetOf (orm: MikroORM): DatabaseTarget {
  const primary = orm.driver.getConnection('write')
  const isServer = isSqlConnection(primary)
  const { systemOf, isEmbedded } = isServer ? driverOf(primary.getClient().getExecutor()) : UNKNOWN
  const system = systemOf(orm.driver.constructor.name)
  if (!isServer || isEmbedded) return { system, namespace: orm.config.get('dbName'), address: undefined, port: undefined }
  const { database, host, port } = primary.getConnectionOptions()
  return connectionsOf(orm).length > 1 ? { system, namespace: database, address: undefined, port: undefined } : { system, namespace: database, address: host, port }
}
