import type { MikroORM } from '@mikro-orm/core'
import type { DatabaseSettings } from '../options/options.ts'
import { Replicas } from '../replicas/replicas.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import type { Log } from '../types.ts'
import { connectionsOf } from './connections.ts'

/**
 * The replicas that a MikroORM has, if it has any.
 * @throws what `Replicas.start()` throws
 */
export async function openReplicas (orm: MikroORM, settings: DatabaseSettings, log: Log): Promise<Replicas | undefined> {
  const [primary, ...others] = connectionsOf(orm).filter(isSqlConnection)
  if (primary === undefined || others.length === 0) return undefined
  const replicas = new Replicas(primary, others, () => orm.driver.getConnection('read') !== primary, settings, log)
  await replicas.start()
  return replicas
}
