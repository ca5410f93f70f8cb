import type { ChangeSet, ChangeSetType } from '@mikro-orm/core'

/** Entities by what was done to them. */
export interface ChangedEntities {
  /** New ones, also when they were updated afterwards. */
  readonly insert: object[]
  /** Those that were there before. */
  readonly update: object[]
  /** Those that were there before, and are no more. */
  readonly delete: object[]
}

type Operation = keyof ChangedEntities

/** By what MikroORM calls them. */
const OPERATIONS: Record<`${ChangeSetType}`, Operation> = {
  create: 'insert',
  update: 'update',
  update_early: 'update',
  delete: 'delete',
  delete_early: 'delete'
}

/** What several flushes have done, taken together: an entity that is inserted and then updated is inserted. */
export class Changes {
  readonly #operations = new Map<object, Operation>()

  record (changeSets: Iterable<ChangeSet<object>>): void {
    for (const { entity, type } of changeSets) this.#add(entity, OPERATIONS[type])
  }

  /** Adds what came after these. */
  absorb (later: Changes): void {
    for (const [entity, operation] of later.#operations) this.#add(entity, operation)
  }

  /** All of them, by what was done to them. */
  byOperation (): ChangedEntities {
    const entities: ChangedEntities = { insert: [], update: [], delete: [] }
    for (const [entity, operation] of this.#operations) entities[operation].push(entity)
    return entities
  }

  #add (entity: object, operation: Operation): void {
    const isNew = this.#operations.get(entity) === 'insert'
    if (isNew && operation === 'delete') this.#operations.delete(entity)
    else if (!isNew) this.#operations.set(entity, operation)
  }
}
