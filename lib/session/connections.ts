import type { Connection, MikroORM } from '@mikro-orm/core'
import type { DatabaseConnection } from 'kysely'
import { driverOf } from '../drivers/drivers.ts'
import { watchConnecting } from '../transaction/connecting.ts'
import { watchPreparing } from '../transaction/prepared-query.ts'
import { isSqlConnection, type SqlConnection } from '../transaction/sql-connection.ts'

/** That to the primary, and those to its replicas. */
export function connectionsOf ({ driver }: MikroORM): Connection[] {
  const { replicas } = driver as unknown as { replicas: Connection[] }
  return [driver.getConnection('write'), ...replicas]
}

/**
 * Makes the connections of an ORM ready for a transaction as their first statement. Opens none.
 * @returns whether hooks of its pools are known to have been too early to be changed
 */
export async function prepareConnections (orm: MikroORM): Promise<{ hasEarlyHooks: boolean }> {
  const connections = connectionsOf(orm).filter(isSqlConnection)
  const hasEarlyHooks = !freePlacesOfFailedHooks(orm, connections)
  for (const connection of connections) {
    watchConnecting(connection)
    watchPreparing(connection)
    // `getClient()` works from here on.
    await connection.initClient()
  }
  return { hasEarlyHooks }
}

type PoolHook = (connection: unknown, options?: unknown) => Promise<void>

const HOOKS = ['onCreateConnection', 'onReserveConnection'] as const

const freeing = new WeakSet<PoolHook>()

/**
 * Kysely gives no place back to the pool when a hook of the pool throws: the connection is closed then, as far as its driver can.
 * @returns whether that was done in time, before the pools were made
 */
function freePlacesOfFailedHooks (orm: MikroORM, connections: SqlConnection[]): boolean {
  const settings: { get (name: string): unknown, set (name: string, hook: PoolHook): void }[] = [
    { get: name => orm.config.get(name as 'onCreateConnection'), set: (name, hook) => { orm.config.set(name as 'onCreateConnection', hook) } },
    ...connections.map(connection => {
      const options = connection['options'] as unknown as Record<string, unknown>
      return { get: (name: string) => options[name], set: (name: string, hook: PoolHook) => { options[name] = hook } }
    })
  ]
  const early = connections.some(connection => connection['connected'])
  let isInTime = true
  for (const { get, set } of settings) {
    for (const name of HOOKS) {
      const hook = get(name) as PoolHook | undefined
      if (hook === undefined || freeing.has(hook)) continue
      if (early) isInTime = false
      else set(name, freed(hook, connections))
    }
  }
  return isInTime
}

function freed (hook: PoolHook, [connection]: SqlConnection[]): PoolHook {
  const freed: PoolHook = async (refused, options) => {
    try {
      await hook(refused, options)
    } catch (error) {
      // All of them have the same driver.
      if (connection !== undefined) await driverOf(connection.getClient().getExecutor()).discard(refused as DatabaseConnection).catch(() => undefined)
      throw error
    }
  }
  freeing.add(freed)
  return freed
}
