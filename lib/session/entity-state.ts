import { helper, Reference, ReferenceKind, ScalarReference, Utils, type AnyEntity, type EntityMetadata, type EntityProperty } from '@mikro-orm/core'
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
    const properties = wrapped.__meta.props.filter(isNotEmbedded)
    this.#entity = entity
    this.collections = properties.filter(isToMany).map(({ name }) => entity[name]).filter(Utils.isCollection).map(stateOf)
    this.#restores = properties.map(property => restoreProperty(entity, property))
    this.#known = Object.fromEntries(KNOWN.map(key => [key, wrapped[key]]))
    this.#known['__originalEntityData'] = wrapped.__originalEntityData && { ...wrapped.__originalEntityData }
    this.#known['__loadedProperties'] = new Set(wrapped.__loadedProperties)
  }

  /** Whether it is a mere reference. */
  get isReference (): boolean {
    return this.#known['__initialized'] !== true
  }

  /** Brings back all but what its collections hold. */
  restore (): void {
    Object.assign(helper(this.#entity), this.#known)
    for (const restore of this.#restores) restore()
  }
}

/** Columns of an embedded object are restored with it. */
function isNotEmbedded ({ embedded }: EntityProperty): boolean {
  return embedded === undefined
}

function isToMany ({ kind }: EntityProperty): boolean {
  return kind === ReferenceKind.ONE_TO_MANY || kind === ReferenceKind.MANY_TO_MANY
}

function restoreProperty (owner: AnyEntity, { name, kind, targetMeta, inversedBy, mappedBy, mapToPk }: EntityProperty): Restore {
  const value: unknown = owner[name]
  const restore = kind === ReferenceKind.EMBEDDED ? restoreEmbedded(value, (targetMeta as EntityMetadata).props) : restoreValue(owner, name, value)
  // Its setter would tell the other side, which is restored by itself.
  const hasOtherSide = TO_ONE.has(kind) && (inversedBy ?? mappedBy) !== undefined && mapToPk !== true
  const data = hasOtherSide ? helper(owner).__data : owner
  const isThere = Object.hasOwn(data, name)
  return () => {
    const restored = restore()
    if (hasOtherSide && data[name] !== restored) removeFrom(data[name] as object | undefined, inversedBy, owner)
    // What only has a getter stays as it is.
    if (isThere) Reflect.set(data, name, restored)
    else Reflect.deleteProperty(data, name)
  }
}

const TO_ONE = new Set([ReferenceKind.MANY_TO_ONE, ReferenceKind.ONE_TO_ONE])

/** What was not there before is restored to nothing, and goes on with what its collections hold now. */
function removeFrom (other: object | undefined, inversedBy: string | undefined, owner: AnyEntity): void {
  const target: unknown = other && Reference.unwrapReference(other)
  const collection: unknown = inversedBy !== undefined && Utils.isEntity<AnyEntity>(target) ? target[inversedBy] : undefined
  if (Utils.isCollection(collection)) collection.removeWithoutPropagation(owner)
}

/** Gives back the object that was there, unless it was changed itself. */
function restoreValue (owner: AnyEntity, name: string, value: unknown): () => unknown {
  if (Utils.isScalarReference(value)) return restoreLazy(value, owner, name)
  if (typeof value !== 'object' || value === null || Utils.isCollection(value) || Utils.isEntity(Reference.unwrapReference(value))) return () => value
  const copy = Utils.copy(value)
  return () => Utils.equals(value, copy) ? value : copy
}

/** One that was loaded meanwhile cannot forget it, and gives its place to another. */
function restoreLazy (reference: ScalarReference<unknown>, owner: AnyEntity, name: string): () => unknown {
  const restore = restoreValue(owner, name, reference.unwrap())
  if (reference.isInitialized()) {
    return () => {
      reference.set(restore())
      return reference
    }
  }
  return () => {
    if (!reference.isInitialized()) return reference
    const unloaded = new ScalarReference<unknown>(undefined, false)
    unloaded.bind(owner, name)
    return unloaded
  }
}

function restoreEmbedded (value: unknown, properties: readonly EntityProperty[]): () => unknown {
  if (Array.isArray(value)) {
    const restores = value.map(one => restoreEmbedded(one, properties))
    return () => Object.assign(value, { length: 0 }, restores.map(restore => restore()))
  }
  if (typeof value !== 'object' || value === null) return () => value
  const restores = properties.map(property => restoreProperty(value, property))
  return () => {
    for (const restore of restores) restore()
    return value
  }
}
