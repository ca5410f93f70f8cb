import { Collection, helper, type AnyEntity, type ChangeSet, type EntityManager } from '@mikro-orm/core'
import { restoreCollections, type CollectionState } from './collection-state.ts'
import { EntityState } from './entity-state.ts'

/**
 * What a session was like when a transaction began inside it, to be so again when that is rolled back. The idea is SQLAlchemy's
 * (`SessionTransaction._take_snapshot`), which expires what has changed; here there is no loading by itself, so it is kept.
 */
export class SessionSnapshot {
  readonly #em: EntityManager
  readonly #isAlone: boolean
  readonly #states = new Map<AnyEntity, EntityState>()
  readonly #managed: readonly AnyEntity[]
  readonly #stacks: readonly (readonly [Set<AnyEntity>, readonly AnyEntity[]])[]
  /** What was inserted meanwhile, with the names of what the database has given it. */
  readonly #inserted = new Map<AnyEntity, readonly string[]>()
  /** What was asked of the session itself meanwhile, from outside the transaction. */
  readonly #outside = new Set<() => void>()

  /** @param isAlone whether the transaction is one of its own, with its own instances of the entities */
  constructor (em: EntityManager, isAlone: boolean) {
    const unitOfWork = em.getUnitOfWork(false)
    this.#em = em
    this.#isAlone = isAlone
    this.#managed = unitOfWork.getIdentityMap().values()
    this.#stacks = [unitOfWork.getPersistStack(), unitOfWork.getRemoveStack(), unitOfWork.getOrphanRemoveStack()].map(stack => [stack, [...stack]] as const)
    for (const entity of new Set([...this.#managed, ...unitOfWork.getPersistStack()])) this.#states.set(entity, new EntityState(entity))
    // A flush that is under way has found these already.
    if (isAlone) this.flushingBeside(unitOfWork.getChangeSets())
  }

  /** These are about to be inserted in the transaction. */
  inserting (changeSets: Iterable<ChangeSet<AnyEntity>>): void {
    for (const { entity, type } of changeSets) if (type === 'create' && !this.#states.has(entity)) this.#inserted.set(entity, givenByDatabase(entity))
  }

  /** A transaction inside this one was released. */
  absorb (released: SessionSnapshot): void {
    for (const [entity, names] of released.#inserted) if (!this.#states.has(entity)) this.#inserted.set(entity, names)
  }

  /** The session itself flushes what the transaction rolls back with the rest: it is to be flushed again. */
  flushingInside (changeSets: readonly ChangeSet<AnyEntity>[]): void {
    this.inserting(changeSets)
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
    // What the session itself has loaded meanwhile is no business of a transaction of its own.
    if (this.#isAlone) for (const [entity, { isLoadedSince }] of this.#states) if (isLoadedSince) this.#states.delete(entity)
    for (const state of this.#states.values()) state.restore()
    restoreCollections([...[...this.#states.values()].flatMap(({ collections }) => collections), ...[...this.#inserted.keys()].flatMap(unsaved)])
    for (const entity of this.#managed) if (this.#states.has(entity)) identityMap.store(entity)
    for (const [stack, entities] of this.#stacks) for (const entity of entities) if (this.#states.has(entity)) stack.add(entity)
    for (const ask of this.#outside) ask()
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
