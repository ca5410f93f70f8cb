import { helper, Reference, Utils, type AnyEntity, type EntityManager, type UnitOfWork } from '@mikro-orm/core'
import { restoreCollections, stateOf } from './collection-state.ts'
import { isDeleted } from './deleted-rows.ts'
import { isEntityDirty } from './dirty-check.ts'
import { instancesOf } from './nesting.ts'
import { refresh } from './refresh.ts'

/**
 * Takes from a transaction of its own all entities that it has, at its end. MikroORM would put what was only read there in the place
 * of what the session has, relate entities of the one to those of the other, and do so before the COMMIT.
 */
export function takeEntities (fork: EntityManager): AnyEntity[] {
  const identityMap = fork.getUnitOfWork(false).getIdentityMap()
  const entities = identityMap.values()
  identityMap.clear()
  return entities
}

/** Gives a session what was written in a transaction of its own, and what it had not had itself. */
export function handOver (session: EntityManager, entities: readonly AnyEntity[], written: ReadonlySet<AnyEntity>): void {
  const known = session.getUnitOfWork(false).getIdentityMap()
  const instances = instancesOf(session)
  // It could still be read.
  const isGone = (entity: AnyEntity) => !written.has(entity) && isDeleted(instances, entity)
  for (const entity of entities) {
    const own: AnyEntity | undefined = known.getByEntity(entity)
    if (own !== undefined && written.has(entity) && !isEntityDirty(session, own)) refresh(session, entity, { ...helper(entity).__originalEntityData, ...madeByDatabase(entity) })
  }
  for (const entity of entities) {
    if (known.getByEntity(entity) !== undefined || isGone(entity)) continue
    relateTo(known, entity, written.has(entity), isGone)
    known.store(entity)
    helper(entity).__em = session
  }
}

/** What MikroORM does not compare, and so does not remember. */
function madeByDatabase (entity: AnyEntity): Record<string, unknown> {
  const made = helper(entity).__meta.props.filter(({ version, generated }) => version === true || generated !== undefined)
  return Object.fromEntries(made.map(({ name }) => [name, entity[name]]))
}

/** Relates an entity to what `known` has, where it was related to another instance of that. The other side is told of it only if it was written. */
function relateTo (known: ReturnType<UnitOfWork['getIdentityMap']>, entity: AnyEntity, isWritten: boolean, isGone: (entity: AnyEntity) => boolean): void {
  const ownOf = <Related extends object>(related: Related): Related => known.getByEntity(related) ?? related
  const { __meta: meta, __data: data } = helper(entity)
  for (const { name } of meta.relations) {
    const value: unknown = entity[name]
    const target = isWritten || !(name in data) ? entity : data
    if (Utils.isCollection(value)) {
      const state = stateOf(value)
      const ownOfThose = (items: readonly AnyEntity[]) => items.filter(item => !isGone(item)).map(ownOf)
      restoreCollections([{ ...state, items: ownOfThose(state.items), snapshot: state.snapshot && ownOfThose(state.snapshot) }])
    } else if (Reference.isReference(value)) target[name] = Reference.create(ownOf(value.unwrap()))
    else if (Utils.isEntity(value)) target[name] = ownOf(value)
  }
}
