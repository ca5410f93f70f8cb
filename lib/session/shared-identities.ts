import { IdentityMap, type AnyEntity, type EntityManager } from '@mikro-orm/core'

/** The identity maps that have the same instances as another. */
const links = new WeakMap<IdentityMap, Set<IdentityMap>>()

/**
 * Has a session and the fork of a savepoint inside it go on with the same instances. MikroORM gives the fork what the session has when it
 * begins: what both read after that would be two instances of one row, and what was changed in one of them is lost.
 * @returns a function that separates them
 */
export function shareIdentities (session: EntityManager, fork: EntityManager): () => void {
  const [one, other] = [session, fork].map(em => em.getUnitOfWork(false).getIdentityMap()) as [IdentityMap, IdentityMap]
  linksOf(one).add(other)
  linksOf(other).add(one)
  return () => {
    linksOf(one).delete(other)
    linksOf(other).delete(one)
  }
}

function linksOf (identityMap: IdentityMap): Set<IdentityMap> {
  const linked = links.get(identityMap) ?? linkFrom(identityMap)
  links.set(identityMap, linked)
  return linked
}

function linkFrom (identityMap: IdentityMap): Set<IdentityMap> {
  const linked = new Set<IdentityMap>()
  const { store, delete: remove } = IdentityMap.prototype
  Object.assign(identityMap, {
    store (entity: AnyEntity) {
      store.call(identityMap, entity)
      for (const other of linked) if (other.getByEntity(entity) === undefined) other.store(entity)
    },
    delete (entity: AnyEntity) {
      remove.call(identityMap, entity)
      for (const other of linked) if (other.getByEntity(entity) === entity) other.delete(entity)
    }
  })
  return linked
}
