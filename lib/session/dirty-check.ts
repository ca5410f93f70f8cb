import { helper, Reference, ReferenceKind, Utils } from '@mikro-orm/core'
import type { AnyEntity, EntityManager, EntityMetadata, EntityProperty } from '@mikro-orm/core'
import { isHeard } from './subscribers.ts'

type Comparator = ReturnType<EntityManager['getComparator']>

/** Whether a flush would write something, or tell somebody: a subscriber is told of flushes that have nothing to write, too, and may have something. */
export function isDirty (em: EntityManager): boolean {
  return isHeard(em, 'beforeFlush', 'onFlush', 'afterFlush') || hasUnflushed(em)
}

/**
 * Whether a flush would write something. It compares what MikroORM compares, entity by entity, and leaves out what
 * makes MikroORM's own search for changes cost several times as much. In doubt it says yes, and the flush finds out: about a value that
 * cannot be converted, for one, at which the comparison throws.
 */
export function hasUnflushed (em: EntityManager): boolean {
  try {
    return !hasNothingToWrite(em)
  } catch {
    return true
  }
}

/** Whether a flush would write something of one entity. In doubt it says yes. */
export function isEntityDirty (em: EntityManager, entity: AnyEntity): boolean {
  return !isUnchanged(entity, em.getComparator())
}

/** Counts what a session has not flushed, as `{ User: 2 }`. */
export function countUnflushed (em: EntityManager): Record<string, number> {
  const unitOfWork = em.getUnitOfWork()
  unitOfWork.computeChangeSets()
  const counts: Record<string, number> = {}
  for (const { meta } of unitOfWork.getChangeSets()) counts[meta.className] = (counts[meta.className] ?? 0) + 1
  return counts
}

function hasNothingToWrite (em: EntityManager): boolean {
  const unitOfWork = em.getUnitOfWork(false)
  if (unitOfWork.getRemoveStack().size > 0 || unitOfWork.getOrphanRemoveStack().size > 0 || unitOfWork.getExtraUpdates().size > 0) return false
  const comparator = em.getComparator()
  // What was read through another entity is in there, too.
  for (const entity of unitOfWork.getPersistStack()) if (!isUnchanged(entity, comparator)) return false
  for (const entity of unitOfWork.getIdentityMap().values()) if (!isUnchanged(entity, comparator)) return false
  return true
}

function isUnchanged (entity: AnyEntity, comparator: Comparator): boolean {
  const { __meta: meta, __originalEntityData: original } = helper(entity)
  if (original === undefined) return false
  const { scalars, references, others, isPlain } = shapeOf(meta)
  for (const relation of others) if (!leadsToKnown(entity, relation)) return false
  for (const { name } of references) if (!isKnown(entity[name])) return false
  return (isPlain && holdsTheSame(entity, original, scalars, references)) || isEqual(entity, original, comparator)
}

/** The exact comparison: MikroORM's own. */
function isEqual (entity: AnyEntity, original: object, comparator: Comparator): boolean {
  const { __meta: meta, __initialized: isInitialized } = helper(entity)
  const data = comparator.prepareEntity(entity)
  return isInitialized ? !Utils.hasObjectKeys(comparator.diffEntities(meta.class, original as never, data)) : Utils.equals(data, original)
}

/** The quick one, for what can only be the same when it is identical. */
function holdsTheSame (entity: AnyEntity, original: Record<string, unknown>, scalars: readonly string[], references: readonly PlainReference[]): boolean {
  for (const name of scalars) if (entity[name] !== original[name]) return false
  for (const { name, key } of references) if (keyOf(entity[name], key) !== original[name]) return false
  return true
}

/** The key of what a reference leads to; of one that leads nowhere, itself. */
function keyOf (reference: AnyEntity | null | undefined, key: string): unknown {
  if (reference === undefined || reference === null) return reference
  const target: AnyEntity = Reference.unwrapReference(reference)
  return target[key]
}

/** Whether a relation leads only to what the session knows, so that nothing is to be written for its sake. */
function leadsToKnown (entity: AnyEntity, { name, embedded, mapToPk }: EntityProperty): boolean {
  if (embedded !== undefined) return false
  const value: unknown = entity[name]
  if (mapToPk === true || isKnown(value)) return true
  return Utils.isCollection(value) && !value.isDirty() && value.getItems(false).every(isKnown)
}

/** Whether a reference leads nowhere, or to what the session has read. */
function isKnown (value: unknown): boolean {
  if (value === undefined || value === null) return true
  const target: unknown = Reference.unwrapReference(value)
  if (!Utils.isEntity(target)) return false
  const { __managed: isManaged, __originalEntityData: original } = helper(target)
  return isManaged === true && original !== undefined
}

/** What of an entity can be compared in which way. */
interface Shape {
  readonly scalars: readonly string[]
  /** To one, by a single key that the database has as it is. */
  readonly references: readonly PlainReference[]
  /** All other relations. */
  readonly others: readonly EntityProperty[]
  /** Whether there is nothing but `scalars` and `references` to compare. */
  readonly isPlain: boolean
}

interface PlainReference {
  readonly name: string
  /** What the key of its target is called. */
  readonly key: string
}

const shapes = new WeakMap<EntityMetadata, Shape>()

function shapeOf (meta: EntityMetadata): Shape {
  let shape = shapes.get(meta)
  if (shape === undefined) {
    const plain = meta.relations.filter(isPlainReference)
    const scalars = meta.comparableProps.filter(isPlainScalar).map(({ name }) => name)
    shape = {
      scalars,
      references: plain.map(({ name, targetMeta }) => ({ name, key: (targetMeta as EntityMetadata).getPrimaryProp().name })),
      others: meta.relations.filter(relation => !plain.includes(relation)),
      isPlain: meta.comparableProps.every(property => isPlainScalar(property) || plain.includes(property))
    }
    shapes.set(meta, shape)
  }
  return shape
}

const PLAIN = new Set(['number', 'string'])

function isPlainScalar ({ kind, type, runtimeType, customType, array, embedded, ref, getter }: EntityProperty): boolean {
  return kind === ReferenceKind.SCALAR && PLAIN.has(runtimeType) && customType === undefined && array !== true && embedded === undefined && ref !== true && getter !== true && type !== 'json'
}

function isPlainReference ({ kind, embedded, mapToPk, polymorphic, targetKey, owner, targetMeta }: EntityProperty): boolean {
  const isOwner = kind === ReferenceKind.MANY_TO_ONE || (kind === ReferenceKind.ONE_TO_ONE && owner)
  const keys = (targetMeta as EntityMetadata).getPrimaryProps()
  return isOwner && embedded === undefined && mapToPk !== true && polymorphic !== true && targetKey === undefined && keys.length === 1 && keys.every(isPlainScalar)
}
