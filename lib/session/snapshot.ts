import { Collection, helper, Reference, Utils, type AnyEntity, type ChangeSet, type EntityData, type EntityManager } from '@mikro-orm/core'
import { restoreCollections, type CollectionState } from './collection-state.ts'
import { deletedRows, setDeleted } from './deleted-rows.ts'
import { EntityState } from './entity-state.ts'
import { isWriting } from './flush.ts'
import { refresh } from './refresh.ts'

/**
 * What a session was like when a transaction began inside it, to be so again when that is rolled back. The idea is SQLAlchemy's
 * (`SessionTransaction._take_snapshot`), which expires what has changed; here there is no loading by itself, so it is kept.
 */
export class SessionSnapshot {
  readonly #em: EntityManager
  readonly #isSeparate: boolean
  readonly #instances: object
  readonly #states = new Map<AnyEntity, EntityState>()
  readonly #managed: readonly AnyEntity[]
  readonly #stacks: readonly (readonly [Set<AnyEntity>, readonly AnyEntity[]])[]
  /** What was inserted meanwhile, with the names of what the database has given it. */
  readonly #inserted = new Map<AnyEntity, readonly string[]>()
  /** What the database had of what was changed or deleted meanwhile. */
  readonly #changed = new Map<AnyEntity, EntityData<AnyEntity>>()
  readonly #deleted: readonly AnyEntity[]
  #hasWritten = false
  /** What was asked of the session itself meanwhile, from outside the transaction. */
  #outside: (() => void)[] = []

  /**
   * @param isSeparate whether the transaction has its own instances of the entities
   * @param instances what stands for those of the session
   */
  constructor (em: EntityManager, isSeparate: boolean, instances: object) {
    const unitOfWork = em.getUnitOfWork(false)
    this.#em = em
    this.#isSeparate = isSeparate
    this.#instances = instances
    this.#managed = unitOfWork.getIdentityMap().values()
    this.#deleted = deletedRows(instances)
    this.#stacks = [unitOfWork.getPersistStack(), unitOfWork.getRemoveStack(), unitOfWork.getOrphanRemoveStack()].map(stack => [stack, [...stack]] as const)
    for (const entity of new Set([...this.#managed, ...unitOfWork.getPersistStack()])) this.#states.set(entity, new EntityState(entity))
    this.#noteFlush()
  }

  /** What is being written beside it stays. */
  #noteFlush (): void {
    if (this.#isSeparate && isWriting(this.#instances)) this.settledBeside()
  }

  /** These are about to be written in the transaction. */
  writing (changeSets: Iterable<ChangeSet<AnyEntity>>): void {
    this.#hasWritten = true
    for (const { entity, type } of changeSets) {
      if (type === 'create') this.#inserted.set(entity, givenByDatabase(entity))
      else this.#noteChanged(entity, { ...helper(entity).__originalEntityData })
    }
  }

  /** A transaction inside this one was released. */
  absorb (released: SessionSnapshot): void {
    this.#hasWritten ||= released.#hasWritten
    for (const [entity, names] of released.#inserted) this.#inserted.set(entity, names)
    for (const [entity, original] of released.#changed) this.#noteChanged(entity, original)
  }

  /** Also of what was there before: a transaction around this one, which absorbs it, may not have had it. */
  #noteChanged (entity: AnyEntity, original: EntityData<AnyEntity>): void {
    if (!this.#inserted.has(entity) && !this.#changed.has(entity)) this.#changed.set(entity, original)
  }

  /** The session itself flushes what the transaction rolls back with the rest: it is to be flushed again. */
  flushingInside (changeSets: readonly ChangeSet<AnyEntity>[]): void {
    this.writing(changeSets)
    const unitOfWork = this.#em.getUnitOfWork(false)
    for (const { entity, type } of changeSets) {
      if (type === 'create') this.askedOutside(() => unitOfWork.persist(entity, undefined, { cascade: false }))
      if (type === 'delete' || type === 'delete_early') this.askedOutside(() => unitOfWork.remove(entity, undefined, { cascade: false }))
    }
  }

  /** Something was asked of the session itself: it is to be asked again. */
  askedOutside (ask: () => void): void {
    this.#outside.push(ask)
  }

  /** The session itself flushes what stays, or commits, whatever becomes of the transaction: there is nothing to go back to any more. */
  settledBeside (): void {
    this.#states.clear()
    this.#outside = []
  }

  /** The transaction was rolled back. */
  restore (): void {
    this.#noteFlush()
    if (!this.#isSeparate) setDeleted(this.#instances, this.#deleted)
    const identityMap = this.#em.getUnitOfWork(false).getIdentityMap()
    for (const [entity, names] of this.#inserted) {
      identityMap.delete(entity)
      if (!this.#states.has(entity)) forget(entity, names)
    }
    const made = [...this.#inserted.keys()].filter(entity => !this.#states.has(entity))
    const loaded = this.#takeLoaded()
    for (const state of this.#states.values()) state.restore()
    restoreCollections([...[...this.#states.values()].flatMap(({ collections }) => collections), ...made.flatMap(unsaved)])
    for (const entity of this.#managed) if (this.#states.has(entity)) identityMap.store(entity)
    for (const [stack, entities] of this.#stacks) for (const entity of entities) if (this.#states.has(entity)) stack.add(entity)
    // All of them before one that refers to others is read again: some may have been deleted.
    for (const entity of loaded.keys()) {
      helper(entity).__managed = true
      identityMap.store(entity)
    }
    for (const [entity, data] of loaded) this.#refresh(entity, data)
    for (const ask of this.#outside) ask()
    for (const entity of this.#em.getUnitOfWork(false).getPersistStack()) if (!this.#states.has(entity)) addToOthers(entity)
  }

  /**
   * What was read meanwhile stays, as the database had it. With other instances it is no business of the transaction what they were.
   * @returns what the database had of what the transaction may have changed
   */
  #takeLoaded (): Map<AnyEntity, EntityData<AnyEntity>> {
    const loaded = new Map<AnyEntity, EntityData<AnyEntity>>()
    const identityMap = this.#em.getUnitOfWork(false).getIdentityMap()
    for (const entity of [...identityMap.values(), ...this.#changed.keys()]) {
      const { __initialized: isInitialized, __originalEntityData: data } = helper(entity)
      // It may have that of the transaction, which is over.
      if (!this.#isSeparate) helper(entity).__em = this.#em
      const isNew = this.#states.get(entity)?.isReference !== false
      const original = this.#changed.get(entity) ?? data
      if (!isNew || !isInitialized || original === undefined) continue
      this.#states.delete(entity)
      if (!this.#isSeparate) loaded.set(entity, original)
    }
    return loaded
  }

  /** Nobody knows what the database had of collections, once something was written. */
  #refresh (entity: AnyEntity, data: EntityData<AnyEntity>): void {
    refresh(this.#em, entity, data)
    const changed = collectionsOf(entity).filter(collection => collection.isInitialized() && (this.#hasWritten || collection.isDirty()))
    restoreCollections(changed.map(collection => ({ collection, items: [], snapshot: undefined, isDirty: false, isInitialized: false })))
  }
}

function givenByDatabase (entity: AnyEntity): string[] {
  return helper(entity).__meta.props
    .filter(({ name, primary, version, generated, defaultRaw, autoincrement }) =>
      (primary === true || version === true || generated !== undefined || defaultRaw !== undefined || autoincrement === true) && (entity[name] ?? null) === null)
    .map(({ name }) => name)
}

/** As it was before it was inserted: what its owner has made of it is left to it. */
function forget (entity: AnyEntity, names: readonly string[]): void {
  const wrapped = helper(entity)
  for (const name of names) delete entity[name]
  for (const key of ['__originalEntityData', '__identifier', '__pk', '__em'] as const) delete wrapped[key]
  wrapped.__managed = false
}

/** The database has nothing of what its collections hold. */
function unsaved (entity: AnyEntity): CollectionState[] {
  return collectionsOf(entity).map(collection => {
    const items = collection.getItems(false)
    return { collection, items, snapshot: [], isDirty: items.length > 0, isInitialized: collection.isInitialized() }
  })
}

function collectionsOf (entity: AnyEntity): Collection<object>[] {
  return helper(entity).__meta.relations.map(({ name }) => entity[name] as unknown).filter(value => value instanceof Collection)
}

/** What is new refers to others, whose collections are what they were before it came. */
function addToOthers (entity: AnyEntity): void {
  for (const { name, inversedBy } of helper(entity).__meta.relations) {
    const target: unknown = Reference.unwrapReference(entity[name])
    const collection: unknown = inversedBy !== undefined && Utils.isEntity<AnyEntity>(target) ? target[inversedBy] : undefined
    if (Utils.isCollection(collection) && collection.isInitialized() && !collection.contains(entity, false)) collection.addWithoutPropagation(entity)
  }
}
