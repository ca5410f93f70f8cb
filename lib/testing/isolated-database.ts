import type { Connection, MikroORM } from '@mikro-orm/core'
import type { Database } from '../application/database.ts'
import { CannotIsolateError } from '../errors/errors.ts'
import { isSqlConnection, type SqlConnection } from '../transaction/sql-connection.ts'
import { isolatedClient } from './isolated-connection.ts'
import { OuterTransaction } from './outer-transaction.ts'

/** Several applications may share one. */
const isolated = new WeakSet<MikroORM>()

/**
 * Leads all that a database's MikroORM does to one outer transaction.
 * @returns a function that rolls it back and puts everything in its place again
 * @throws CannotIsolateError, AcquireTimeoutError, and what the database says
 */
export async function isolateDatabase ({ name, orm, pool }: Pick<Database, 'name' | 'orm' | 'pool'>): Promise<() => Promise<void>> {
  const connection: Connection = orm.driver.getConnection('write')
  if (!isSqlConnection(connection)) throw new CannotIsolateError(name, 'its driver has no SQL transactions')
  if (isolated.has(orm)) throw new CannotIsolateError(name, 'it is isolated already, so release() that first')
  isolated.add(orm)
  try {
    await connection.ensureConnection()
    const outer = await OuterTransaction.begin(connection.getClient(), connection.getPlatform(), pool.acquireTimeout)
    const restore = redirect(orm, connection, outer)
    return async () => {
      try {
        await outer.rollback()
      } finally {
        restore()
        isolated.delete(orm)
      }
    }
  } catch (error) {
    isolated.delete(orm)
    throw error
  }
}

/** Reads from replicas come to the same connection: they could not see what the outer transaction has written. */
function redirect ({ driver }: MikroORM, connection: SqlConnection, outer: OuterTransaction): () => void {
  const client = isolatedClient(connection.getClient(), outer)
  const { execute } = connection
  const overridden = [
    override(driver, 'getConnection', () => connection),
    override(connection, 'getClient', () => client),
    // What has no transaction goes to a client that MikroORM keeps to itself.
    override(connection, 'execute', (query, params, method, ctx = client, ...rest) => execute.call(connection, query, params, method, ctx, ...rest))
  ]
  return () => { for (const restore of overridden) restore() }
}

/**
 * Puts a method of its own on an object, in front of that of its class.
 * @returns a function that takes it away again
 */
function override<T extends object, Key extends keyof T & string> (target: T, key: Key, value: T[Key]): () => void {
  Object.defineProperty(target, key, { value, configurable: true })
  return () => { Reflect.deleteProperty(target, key) }
}
