import { helper, Reference, ReferenceKind, Utils, type AnyEntity, type EntityProperty } from '@mikro-orm/core'
import { stateOf, type CollectionState } from './collection-state.ts'

type Restore = () => void

/** What MikroORM knows of an entity beside its properties. */
const KNOWN = ['__managed', '__initialized', '__em', '__identifier', '__pk'] as const

/** What an entity was like: its properties, its collections, and what MikroORM takes the database to have of it. */
export class EntityState {
  readonly collections: readonly CollectionState[]
  readonly #entity: AnyEntity
  readonly #restores: readonly Restore[]
  readonly #known: Record<string, unknown>

  constructor (entity: AnyEntity) {
    const wrapped = helper(entity)
    const properties = wrapped.__meta.props.filter(isRestorable)
    this.#entity = entity
    this.collections = properties.filter(isToMany).map(({ name }) => entity[name]).filter(Utils.isCollection).map(stateOf)
    this.#restores = properties.map(property => restoreProperty(entity, property))
    this.#known = Object.fromEntries(KNOWN.map(key => [key, wrapped[key]]))
    this.#known['__originalEntityData'] = wrapped.__originalEntityData && { ...wrapped.__originalEntityData }
    this.#known['__loadedProperties'] = new Set(wrapped.__loadedProperties)
  }

  /** Brings back all but what its collections hold. */
  restore (): void {
    Object.assign(helper(this.#entity), this.#known)
    for (const restore of this.#restores) restore()
  }
}

/** Columns of an embedded object are restored with it. */
function isRestorable ({ embedded, getter, setter }: EntityProperty): boolean {
  return embedded === undefined && (getter !== true || setter === true)
}

function isToMany ({ kind }: EntityProperty): boolean {
  return kind === ReferenceKind.ONE_TO_MANY || kind === ReferenceKind.MANY_TO_MANY
}

function restoreProperty (owner: AnyEntity, property: EntityProperty): Restore {
  const { name, kind, targetMeta, inversedBy, mappedBy, mapToPk } = property
  const value: unknown = owner[name]
  const restore = kind === ReferenceKind.EMBEDDED ? restoreEmbedded(value, targetMeta?.props ?? []) : restoreValue(value)
  // Its setter would tell the other side, which is restored by itself.
  const data = !isToMany(property) && (inversedBy ?? mappedBy) !== undefined && mapToPk !== true ? helper(owner).__data : owner
  const isThere = name in data && (data !== owner || Object.hasOwn(owner, name))
  return () => {
    const restored = restore()
    if (isThere) data[name] = restored
    else if (data[name] !== undefined) delete data[name]
  }
}

/** Gives back the object that was there, unless it was changed itself. */
function restoreValue (value: unknown): () => unknown {
  if (Utils.isScalarReference(value)) {
    const held: unknown = value.unwrap()
    return () => {
      value.set(held)
      return value
    }
  }
  if (typeof value !== 'object' || value === null || Utils.isCollection(value) || Utils.isEntity(Reference.unwrapReference(value))) return () => value
  const copy = Utils.copy(value)
  return () => Utils.equals(value, copy) ? value : copy
}

function restoreEmbedded (value: unknown, properties: readonly EntityProperty[]): () => unknown {
  if (Array.isArray(value)) {
    const restores = value.map(one => restoreEmbedded(one, properties))
    return () => Object.assign(value, { length: 0 }, restores.map(restore => restore()))
  }
  if (typeof value !== 'object' || value === null) return () => value
  const restores = properties.filter(({ getter, setter, name }) => (getter !== true || setter === true) && name in value)
    .map(({ name, kind, targetMeta }) => {
      const restore = kind === ReferenceKind.EMBEDDED ? restoreEmbedded(Reflect.get(value, name), targetMeta?.props ?? []) : restoreValue(Reflect.get(value, name))
      return () => Reflect.set(value, name, restore())
    })
  return () => {
    for (const restore of restores) restore()
    return value
  }
}
