import { ChangeSetType, helper, ReferenceKind, UnitOfWork, type AnyEntity, type ChangeSet, type Collection, type EntityManager } from '@mikro-orm/core'
import { entitiesOf, isManaged, persistAgain, removeAgain } from './ask-again.ts'
import { differs, restoreCollections, stateOf, type CollectionState } from './collection-state.ts'

type Data = Record<string, unknown>

/**
 * What changes while a flush runs. MikroORM computes once what to write, forgets all that was asked of it until that is written, and
 * takes the entities as they are by then for what was sent. Here both are put right afterwards: what came too late is asked for again,
 * and what the session takes for written is what was sent.
 */
export class LateChanges {
  readonly #em: EntityManager
  readonly #unitOfWork: UnitOfWork
  /** What was asked of the unit of work while it flushed: more than came too late, since nobody says when that begins. */
  #requests: (() => void)[] = []
  /** What the database has of collections that were sent, or that were changed too late to be. */
  readonly #collections = new Map<Collection<object>, readonly object[] | undefined>()
  /** What was sent of entities that the database had already, with what it had of them. */
  readonly #sentData = new Map<AnyEntity, Data>()
  #hasWritten = false

  constructor (em: EntityManager) {
    this.#em = em
    this.#unitOfWork = em.getUnitOfWork(false)
    // Collections and setters ask for these past the EntityManager.
    Object.assign(this.#unitOfWork, {
      scheduleOrphanRemoval: this.#intercepted('scheduleOrphanRemoval'),
      cancelOrphanRemoval: this.#intercepted('cancelOrphanRemoval'),
      takeCollectionSnapshots: (entity: AnyEntity, visited: Set<AnyEntity>) => {
        if (!visited.has(entity)) this.#noteCollections(entity)
        UnitOfWork.prototype['takeCollectionSnapshots'].call(this.#unitOfWork, entity, visited)
      }
    })
  }

  /** Whether the flush had anything to write. */
  get hasWritten (): boolean {
    return this.#hasWritten
  }

  /** Whether something was asked for that the flush could not write. */
  get hasLeft (): boolean {
    return this.#unitOfWork.getPersistStack().size + this.#unitOfWork.getRemoveStack().size + this.#unitOfWork.getOrphanRemoveStack().size > 0
  }

  /** `em.persist()` was called. Filling a collection calls it too, with an array, which is no wish to have again what is being deleted. */
  persisted (asked: unknown): void {
    const entities = entitiesOf(asked)
    const wanted = Array.isArray(asked) ? entities.filter(entity => !this.#isBeingDeleted(entity)) : entities
    this.#requests.push(() => { persistAgain(this.#unitOfWork, wanted) })
  }

  /** `em.remove()` was called. */
  removed (asked: unknown): void {
    const entities = entitiesOf(asked)
    this.#requests.push(() => { removeAgain(this.#unitOfWork, entities) })
  }

  /** A collection is sent as it is now. */
  sending (collection: Collection<object>): void {
    if (collection.property.kind === ReferenceKind.MANY_TO_MANY) this.#collections.set(collection, collection.getItems(false))
  }

  /** Everything is written, and MikroORM still knows what it was. */
  written (): void {
    const changeSets = new Set(this.#unitOfWork.getChangeSets())
    for (const [, , , changeSet] of this.#unitOfWork.getExtraUpdates()) if (changeSet !== undefined) changeSets.add(changeSet)
    for (const changeSet of changeSets) this.#noteSent(changeSet)
    this.#hasWritten = changeSets.size > 0 || this.#unitOfWork.getCollectionUpdates().length > 0
  }

  /** The session has forgotten everything, and this is to, too. */
  forget (): void {
    this.#requests = []
    this.#collections.clear()
  }

  /** MikroORM has forgotten the flush: remembers what was not written by it. */
  settle (): void {
    this.#stop()
    for (const [entity, sent] of this.#sentData) this.#settleData(entity, sent)
    restoreCollections([...this.#collections].map(([collection, snapshot]) => ({ ...stateOf(collection), snapshot, isDirty: true })).filter(hasMore))
    for (const request of this.#requests) request()
  }

  #stop (): void {
    const { scheduleOrphanRemoval, cancelOrphanRemoval, takeCollectionSnapshots } = UnitOfWork.prototype as unknown as Record<string, unknown>
    Object.assign(this.#unitOfWork, { scheduleOrphanRemoval, cancelOrphanRemoval, takeCollectionSnapshots })
  }

  #intercepted (method: 'scheduleOrphanRemoval' | 'cancelOrphanRemoval') {
    const ask = UnitOfWork.prototype[method].bind(this.#unitOfWork)
    return (entity: AnyEntity, visited?: Set<AnyEntity>) => {
      this.#requests.push(() => { if (isManaged(entity)) ask(entity) })
      ask(entity, visited)
    }
  }

  #isBeingDeleted (entity: AnyEntity): boolean {
    return this.#unitOfWork.getChangeSets().some(changeSet => changeSet.entity === entity && DELETES.has(changeSet.type))
  }

  /** Those that are dirty when all is sent. */
  #noteCollections (entity: AnyEntity): void {
    for (const { kind, name } of helper(entity).__meta.relations) {
      const collection: Collection<object> | undefined = kind === ReferenceKind.MANY_TO_MANY ? entity[name] : undefined
      if (collection?.isDirty() === true && !this.#collections.has(collection)) this.#collections.set(collection, collection.getSnapshot())
    }
  }

  #noteSent (changeSet: ChangeSet<AnyEntity>): void {
    const { entity, type, payload, originalEntity, tptChangeSets = [] } = changeSet
    // After an INSERT MikroORM itself takes what was sent.
    if (DELETES.has(type) || helper(entity).__originalEntityData === payload) return
    const sent: Data = this.#sentData.get(entity) ?? { ...originalEntity }
    for (const part of [changeSet, ...tptChangeSets]) Object.assign(sent, part.payload)
    this.#sentData.set(entity, sent)
  }

  #settleData (entity: AnyEntity, sent: Data): void {
    const { __meta: meta, __originalEntityData: taken } = helper(entity)
    if (taken === undefined) return
    const original = taken as Data
    for (const key of Object.keys(this.#em.getComparator().diffEntities(meta.class, sent, original))) {
      if (key in sent) original[key] = sent[key]
      else if (meta.inheritanceType !== 'tpt') delete original[key]
    }
  }
}

function hasMore ({ items, snapshot }: CollectionState): boolean {
  return differs(items, snapshot)
}

const DELETES = new Set([ChangeSetType.DELETE, ChangeSetType.DELETE_EARLY])
