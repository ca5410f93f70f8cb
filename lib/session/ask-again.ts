import { helper, Reference, Utils, type AnyEntity, type UnitOfWork } from '@mikro-orm/core'

/** What was given to `em.persist()` or `em.remove()`. */
export function entitiesOf (asked: unknown): AnyEntity[] {
  return Utils.asArray(asked as AnyEntity | Iterable<AnyEntity>).map(one => Reference.unwrapReference(one))
}

/** Has a unit of work write these in its next flush, unless it has them. */
export function persistAgain (unitOfWork: UnitOfWork, entities: readonly AnyEntity[]): void {
  for (const entity of entities) {
    if (!isManaged(entity) || unitOfWork.getRemoveStack().has(entity)) unitOfWork.persist(entity, undefined, { cascade: false })
  }
}

/** Has a unit of work delete these in its next flush, or not write them, if it has them. */
export function removeAgain (unitOfWork: UnitOfWork, entities: readonly AnyEntity[]): void {
  for (const entity of entities) {
    if (isManaged(entity) || unitOfWork.getPersistStack().has(entity)) unitOfWork.remove(entity, undefined, { cascade: false })
  }
}

export function isManaged (entity: AnyEntity): boolean {
  return helper(entity).__managed === true
}
