import { AsyncLocalStorage } from 'node:async_hooks'
import { TransactionContext, type EntityManager } from '@mikro-orm/core'
import { OutcomeCallbacks } from '../events/callbacks.ts'

/**
 * An `em.transactional()` that runs. MikroORM knows the innermost one of its own (`TransactionContext`), whichever database it
 * is of; a scope has several, so each session looks for the innermost one that is its own.
 */
export interface Nesting {
  /** What the session and its forks have in common. */
  readonly binding: object
  /** What waits for its end. */
  readonly callbacks: OutcomeCallbacks
  readonly outer: Nesting | undefined
  /** The fork that MikroORM has made for it, once its transaction has begun. One that is joined has none. */
  em: EntityManager | undefined
}

const storage = new AsyncLocalStorage<Nesting>()

/** The innermost one that runs now and has a fork of its own. */
export function currentNesting (binding: object): Nesting | undefined {
  let nesting = storage.getStore()
  while (nesting !== undefined && (nesting.binding !== binding || nesting.em === undefined)) nesting = nesting.outer
  return nesting
}

/** Runs `fn`, and all that it starts, inside a new one. */
export function runNested<T> (binding: object, fn: (nesting: Nesting) => T): T {
  const nesting: Nesting = { binding, callbacks: new OutcomeCallbacks(), outer: storage.getStore(), em: undefined }
  return storage.run(nesting, fn, nesting)
}

/** Runs `fn` unseen by every `em.transactional()` that encloses it: what a scope does is a unit of work of its own. */
export function outsideTransactions<T> (fn: () => T): T {
  return TransactionContext.currentTransactionContext() === undefined ? fn() : TransactionContext.create(NOBODY, fn)
}

/** Its name is no ORM's context name, so that MikroORM does not find it for any of them. */
const NOBODY = { _id: 0, name: Symbol('nobody') } as unknown as EntityManager
