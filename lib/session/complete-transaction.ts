import { helper, Reference, Utils, type AnyEntity, type EntityData, type EntityManager, type UnitOfWork } from '@mikro-orm/core'
import { restoreCollections, stateOf } from './collection-state.ts'
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
  if (isSeparate) handOver(outer, fork, nesting.written)
  return result
}

/**
 * Leaves to `outer` what it has itself, and gives it what was written. MikroORM would put all that `fork` has only read in its place, too,
 * and would relate entities of the one to those of the other.
 */
function handOver (outer: EntityManager, fork: EntityManager, written: ReadonlySet<AnyEntity>): void {
  const known = outer.getUnitOfWork(false).getIdentityMap()
  const identityMap = fork.getUnitOfWork(false).getIdentityMap()
  for (const entity of identityMap.values()) {
    const own: AnyEntity | undefined = known.getByEntity(entity)
    if (own === entity) continue
    if (own === undefined) {
      relateTo(known, entity, written.has(entity))
      continue
    }
    identityMap.delete(entity)
    if (written.has(entity) && !isEntityDirty(outer, own)) refresh(outer, entity)
  }
}

/** Has `outer` take what the database has of an entity, from another one. */
function refresh (outer: EntityManager, entity: AnyEntity): void {
  const { __meta: meta, __originalEntityData: data } = helper(entity)
  outer.merge(meta.class, { ...data as EntityData<AnyEntity> }, { refresh: true, convertCustomTypes: true, cascade: false, disableContextResolution: true })
}

/** Relates an entity to what `known` has, where it was related to another instance of that. The other side is told of it only if it was written. */
function relateTo (known: ReturnType<UnitOfWork['getIdentityMap']>, entity: AnyEntity, isWritten: boolean): void {
  const ownOf = <Related extends object>(related: Related): Related => (helper(related).hasPrimaryKey() ? known.getByEntity(related) : undefined) ?? related
  const { __meta: meta, __data: data } = helper(entity)
  for (const { name } of meta.relations) {
    const value: unknown = entity[name]
    const target = isWritten || !(name in data) ? entity : data
    if (Utils.isCollection(value)) {
      const state = stateOf(value)
      restoreCollections([{ ...state, items: state.items.map(ownOf), snapshot: state.snapshot?.map(ownOf) }])
    } else if (Reference.isReference(value)) target[name] = Reference.create(ownOf(value.unwrap()))
    else if (Utils.isEntity(value)) target[name] = ownOf(value)
  }
}
