import { AsyncLocalStorage } from 'node:async_hooks'
import type { EntityManager } from '@mikro-orm/core'

const storage = new AsyncLocalStorage<{ session: EntityManager | undefined }>()

/** The session that a connection is acquired for now. MikroORM asks for it from a hook of the pool (`sessionContext: 'connection'`). */
export function acquiringSession (): EntityManager | undefined {
  return storage.getStore()?.session
}

/**
 * Acquires a connection for a session, which need not be that of the current scope.
 * @param acquire is to call `acquired` when it has one: what is run on it is nobody's in particular
 */
export function acquireFor<T> (session: EntityManager, acquire: (acquired: () => void) => T): T {
  const acquiring: { session: EntityManager | undefined } = { session }
  return storage.run(acquiring, acquire, () => { acquiring.session = undefined })
}
