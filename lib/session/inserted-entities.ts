import { helper, type AnyEntity, type ChangeSet, type EntityManager, type Transaction, type UnitOfWork } from '@mikro-orm/core'

/** What of MikroORM's is called when an entity has the key that it was inserted with. */
interface Persister {
  markAsPopulated (changeSet: ChangeSet<AnyEntity>, meta: unknown): void
}

/**
 * Has a session know what a flush has inserted as soon as the database does. MikroORM registers it when all of its kind are inserted
 * and their versions are read: a query that finds the row in between makes a second instance of it, whose changes nobody writes.
 */
export class InsertedEntities {
  readonly #unitOfWork: UnitOfWork
  readonly #persister: Persister
  readonly #entities: AnyEntity[] = []
  readonly #markAsPopulated: Persister['markAsPopulated']

  constructor (em: EntityManager) {
    this.#unitOfWork = em.getUnitOfWork(false)
    this.#persister = this.#unitOfWork.getChangeSetPersister() as unknown as Persister
    this.#markAsPopulated = this.#persister.markAsPopulated
    Object.assign(this.#persister, {
      markAsPopulated: (changeSet: ChangeSet<AnyEntity>, meta: unknown) => {
        this.#markAsPopulated.call(this.#persister, changeSet, meta)
        this.#entities.push(changeSet.entity)
        this.#unitOfWork.register(changeSet.entity, changeSet.payload)
      }
    })
  }

  /** Leaves it to MikroORM again. What was inserted by a flush that has failed is not known any more. */
  settle (hasFailed: boolean): void {
    this.#persister.markAsPopulated = this.#markAsPopulated
    if (!hasFailed) return
    for (const entity of this.#entities) {
      this.#unitOfWork.getIdentityMap().delete(entity)
      delete helper(entity).__originalEntityData
    }
  }
}

/** A driver of MikroORM's that asks the server once by how much its keys grow. */
interface AskingDriver {
  readonly autoIncrementIncrement?: number
  getAutoIncrementIncrement? (ctx: Transaction | undefined): Promise<number>
}

/** Has that be known before an INSERT, rather than between it and its key. Nothing to wait for where it is. */
export function keysKnown (em: EntityManager): Promise<unknown> | undefined {
  const driver = em.getDriver() as AskingDriver
  if (driver.autoIncrementIncrement !== undefined) return undefined
  return driver.getAutoIncrementIncrement?.(em.getTransactionContext()).catch((error: Error) => { throw em.getDriver().convertException(error) })
}
