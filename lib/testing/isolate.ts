import type { FastifyInstance } from 'fastify'
import { registeredDatabase } from '../application/registered.ts'
import { isolateDatabase } from './isolated-database.ts'

/** What `isolate()` gives. */
export interface Isolation extends AsyncDisposable {
  /**
   * Rolls back all that has happened since, and lets the databases be as they were. Called again, it gives the same.
   * @throws FST_SCOPED_DB_ISOLATION_LOST when something may be left in a database
   */
  release (): Promise<void>
}

/**
 * Isolates a test: everything that the application, and the test through the same MikroORM, does with its databases from now
 * on runs in one outer transaction for each of them, and is rolled back by `release()`. A commit inside it is the release of a savepoint.
 *
 * The idea is SQLAlchemy's "joining a session into an external transaction".
 *
 * @param app with the plugin loaded: after `await app.register(...)` or `await app.ready()`
 * @throws FST_SCOPED_DB_NOT_REGISTERED when the application has no database (yet)
 * @throws FST_SCOPED_DB_CANNOT_ISOLATE when a database is isolated already, or its driver has no SQL transactions
 * @throws FST_SCOPED_DB_ACQUIRE_TIMEOUT when no pooled connection became free in time
 *
 * @example
 * let isolation: Isolation
 * beforeEach(async () => { isolation = await isolate(app) })
 * afterEach(async () => { await isolation.release() })
 */
export async function isolate (app: Pick<FastifyInstance, 'db' | 'hasDecorator'>): Promise<Isolation> {
  const releases: (() => Promise<void>)[] = []
  const releaseAll = async () => {
    const results = await Promise.allSettled(releases.map(release => release()))
    const failed = results.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
  try {
    for (const database of registeredDatabase(app).host.all) releases.push(await isolateDatabase(database))
  } catch (error) {
    await releaseAll()
    throw error
  }
  let released: Promise<void> | undefined
  const release = async () => { await (released ??= releaseAll()) }
  return { release, [Symbol.asyncDispose]: release }
}
