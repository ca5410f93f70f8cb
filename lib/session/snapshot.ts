import { Collection, helper, type AnyEntity, type ChangeSet, type EntityData, type EntityManager } from '@mikro-orm/core'
import { restoreCollections, type CollectionState } from './collection-state.ts'
import { EntityState } from './entity-state.ts'
import { refresh } from './refresh.ts'

/**
 * What a session was like when a transaction began inside it, to be so again when that is rolled back. The idea is SQLAlchemy's
 * (`SessionTransaction._take_snapshot`), which expires what has changed; here there is no loading by itself, so it is kept.
 */
export class SessionSnapshot {
  readonly #em: EntityManager
  readonly #isSeparate: boolean
  readonly #states = new Map<AnyEntity, EntityState>()
  readonly #managed: readonly AnyEntity[]
  readonly #stacks: readonly (readonly [Set<AnyEntity>, readonly AnyEntity[]])[]
  /** What was inserted meanwhile, with the names of what the database has given it. */
  readonly #inserted = new Map<AnyEntity, readonly string[]>()
  /** What the database had of what was read and changed meanwhile. */
  readonly #updated = new Map<AnyEntity, EntityData<AnyEntity>>()
  /** What was asked of the session itself meanwhile, from outside the transaction. */
  readonly #outside = new Set<() => void>()

  /** @param isSeparate whether the transaction has its own instances of the entities */
  constructor (em: EntityManager, isSeparate: boolean) {
    const unitOfWork = em.getUnitOfWork(false)
    this.#em = em
    this.#isSeparate = isSeparate
    this.#managed = unitOfWork.getIdentityMap().values()
    this.#stacks = [unitOfWork.getPersistStack(), unitOfWork.getRemoveStack(), unitOfWork.getOrphanRemoveStack()].map(stack => [stack, [...stack]] as const)
    for (const entity of new Set([...this.#managed, ...unitOfWork.getPersistStack()])) this.#states.set(entity, new EntityState(entity))
    // A flush that is under way has found these already.
    if (isSeparate) this.flushingBeside(unitOfWork.getChangeSets())
  }

  /** These are about to be written in the transaction. */
  writing (changeSets: Iterable<ChangeSet<AnyEntity>>): void {
    for (const { entity, type, originalEntity } of changeSets) {
      if (type === 'create') this.#noteInserted(entity, givenByDatabase(entity))
      else if (originalEntity !== undefined) this.#noteUpdated(entity, originalEntity)
    }
  }

  /** A transaction inside this one was released. */
  absorb (released: SessionSnapshot): void {
    for (const [entity, names] of released.#inserted) this.#noteInserted(entity, names)
    for (const [entity, original] of released.#updated) this.#noteUpdated(entity, original)
  }

  #noteInserted (entity: AnyEntity, names: readonly string[]): void {
    if (!this.#states.has(entity)) this.#inserted.set(entity, names)
  }

  #noteUpdated (entity: AnyEntity, original: EntityData<AnyEntity>): void {
    const isKnown = this.#states.get(entity)?.isReference === false || this.#inserted.has(entity) || this.#updated.has(entity)
    if (!isKnown) this.#updated.set(entity, original)
  }

  /** The session itself flushes what the transaction rolls back with the rest: it is to be flushed again. */
  flushingInside (changeSets: readonly ChangeSet<AnyEntity>[]): void {
    this.writing(changeSets)
    const unitOfWork = this.#em.getUnitOfWork(false)
    for (const { entity, type } of changeSets) {
      if (type === 'create') this.#outside.add(() => unitOfWork.persist(entity, undefined, { cascade: false }))
      if (type === 'delete' || type === 'delete_early') this.#outside.add(() => unitOfWork.remove(entity, undefined, { cascade: false }))
    }
  }

  /** The session itself flushes what stays, whatever becomes of the transaction. */
  flushingBeside (changeSets: readonly ChangeSet<AnyEntity>[]): void {
    for (const { entity } of changeSets) this.#states.delete(entity)
  }

  /** The transaction was rolled back. */
  restore (): void {
    const identityMap = this.#em.getUnitOfWork(false).getIdentityMap()
    for (const [entity, names] of this.#inserted) {
      identityMap.delete(entity)
      forget(entity, names)
    }
    const loaded = this.#takeLoaded()
    for (const state of this.#states.values()) state.restore()
    restoreCollections([...[...this.#states.values()].flatMap(({ collections }) => collections), ...[...this.#inserted.keys()].flatMap(unsaved)])
    for (const entity of this.#managed) if (this.#states.has(entity)) identityMap.store(entity)
    for (const [stack, entities] of this.#stacks) for (const entity of entities) if (this.#states.has(entity)) stack.add(entity)
    for (const [entity, data] of loaded) refresh(this.#em, entity, data)
    for (const ask of this.#outside) ask()
  }

  /** What was read meanwhile stays, as the database had it. With other instances it is no business of the transaction what they were. */
  #takeLoaded (): Map<AnyEntity, EntityData<AnyEntity>> {
    const identityMap = this.#em.getUnitOfWork(false).getIdentityMap()
    const loaded = new Map<AnyEntity, EntityData<AnyEntity>>()
    for (const [entity, { isReference }] of this.#states) {
      const { __initialized: isInitialized, __originalEntityData: data } = helper(entity)
      if (!isReference || !isInitialized || data === undefined) continue
      this.#states.delete(entity)
      if (!this.#isSeparate) loaded.set(entity, data)
    }
    for (const [entity, data] of this.#updated) if (!this.#states.has(entity) && identityMap.getByEntity(entity) !== undefined) loaded.set(entity, data)
    return loaded
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
  return helper(entity).__meta.relations.map(({ name }) => entity[name] as unknown).filter(value => value instanceof Collection)
    .map((collection: Collection<object>) => {
      const items = collection.getItems(false)
      return { collection, items, snapshot: [], isDirty: items.length > 0, isInitialized: collection.isInitialized() }
    })
}
