import { TransactionContext, type EntityManager } from '@mikro-orm/core'

/** Runs `fn` unseen by every `em.transactional()` that encloses it: what a scope does is a unit of work of its own. */
export function outsideTransactions<T> (fn: () => T): T {
  return TransactionContext.currentTransactionContext() === undefined ? fn() : TransactionContext.create(NOBODY, fn)
}

/** Its name is no ORM's context name, so that MikroORM does not find it for any of them. */
const NOBODY = { _id: 0, name: Symbol('nobody') } as unknown as EntityManager
