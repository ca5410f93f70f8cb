import type { AnyEntity, EntityManager } from '@mikro-orm/core'
import { isEntityDirty } from './dirty-check.ts'
import { flushAll } from './flush-all.ts'
import type { Nesting } from './nesting.ts'

/**
 * Does what is to be done in a transaction inside the session `outer`, to its end.
 * @param isSeparate whether it has its own instances of the entities
 * @throws what a flush in it has thrown, although that was caught: part of it may be written
 */
export async function complete<Session extends EntityManager, T> (fork: Session, outer: Session, nesting: Nesting, isSeparate: boolean, use: (em: Session) => T | Promise<T>): Promise<T> {
  const result = await use(fork)
  if (nesting.failure !== undefined) throw nesting.failure
  await flushAll(fork)
  if (isSeparate) keepChanges(outer, fork)
  return result
}

/** MikroORM is about to put what `fork` has read in the place of what `outer` has. */
function keepChanges (outer: EntityManager, fork: EntityManager): void {
  const identityMap = fork.getUnitOfWork(false).getIdentityMap()
  for (const entity of identityMap.values()) {
    const own: AnyEntity | undefined = outer.getUnitOfWork(false).getIdentityMap().getByEntity(entity)
    if (own !== undefined && own !== entity && isEntityDirty(outer, own)) identityMap.delete(entity)
  }
}
