import { AsyncLocalStorage } from 'node:async_hooks'
import { TransactionContext, type EntityManager, type Transaction } from '@mikro-orm/core'
import { OutcomeCallbacks } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/session-database.ts'
import type { Outcome } from '../types.ts'
import type { SessionTransactions } from './session-transactions.ts'

/** Who finishes the transactions that all sessions of a scope share the fate of. */
export interface SessionOwner {
  /** What waits for their outcome. */
  readonly callbacks: OutcomeCallbacks
  commit (): Promise<void>
  rollback (): Promise<void>
  /** A transaction that MikroORM has begun is over, and so is the wait of what waited for it in `callbacks`. */
  ended (database: SessionDatabase, callbacks: OutcomeCallbacks, outcome: Outcome): void
}

/** What an EntityManager of a scope belongs to. */
export interface Binding {
  readonly database: SessionDatabase
  readonly owner: SessionOwner
  readonly transactions: SessionTransactions
  /** Set while MikroORM forks for a nested transaction, whose fork belongs to the scope too. A fork by the user does not. */
  nesting: Nesting | undefined
}

/**
 * An `em.transactional()` that runs. MikroORM knows the innermost one of its own (`TransactionContext`), whichever database it
 * is of; a scope has several, so each session looks for the innermost one that is its own.
 */
export interface Nesting {
  /** What the session and its forks have in common. */
  readonly binding: Binding
  /** What waits for its end. */
  readonly callbacks: OutcomeCallbacks
  readonly outer: Nesting | undefined
  /** The fork that MikroORM has made for it, once its transaction has begun. One that is joined has none. */
  em: EntityManager | undefined
}

/** What an EntityManager of a scope has to find both by. */
export const BINDING = Symbol('fastify-scoped-db.binding')
export const NESTING = Symbol('fastify-scoped-db.nesting')

export type BoundEntityManager = EntityManager & { [BINDING]?: Binding, [NESTING]?: Nesting }

const nestings = new AsyncLocalStorage<Nesting>()

/** The innermost one that runs now and has a fork of its own. */
export function currentNesting (binding: Binding): Nesting | undefined {
  let nesting = nestings.getStore()
  while (nesting !== undefined && (nesting.binding !== binding || nesting.em === undefined)) nesting = nesting.outer
  return nesting
}

/** What waits for the end of the transaction that a session is in now: an `em.transactional()`, or else the scope. */
export function waitingFor (binding: Binding): OutcomeCallbacks {
  return currentNesting(binding)?.callbacks ?? binding.owner.callbacks
}

/** Whether no transaction of MikroORM's own has been begun. */
export function isOwn (binding: Binding | undefined, context: Transaction | undefined): binding is Binding {
  return binding !== undefined && context !== undefined && context === binding.transactions.context
}

export function isAutocommit (binding: Binding | undefined, context: Transaction | undefined): boolean {
  return isOwn(binding, context) && !binding.transactions.isAutomatic
}

/** Runs what is committed by itself, in a transaction of its own or without one: what waits for its end waits for no other. */
export async function alone<T> (binding: Binding, run: () => Promise<T>): Promise<T> {
  return await nested(binding, run, (callbacks, outcome) => binding.owner.ended(binding.database, callbacks, outcome))
}

/** Runs what sets a savepoint: what waits for the end of that waits for the end of what it is in, if it is released, and is dropped if not. */
export async function inSavepoint<T> (binding: Binding, run: () => Promise<T>): Promise<T> {
  const outer = waitingFor(binding)
  return await nested(binding, run, (callbacks, outcome) => { if (outcome === 'commit') outer.absorb(callbacks) })
}

async function nested<T> (binding: Binding, run: () => Promise<T>, ended: (callbacks: OutcomeCallbacks, outcome: Outcome) => void): Promise<T> {
  return await runNested(binding, async nesting => {
    try {
      const result = await forking(binding, nesting, run)
      ended(nesting.callbacks, 'commit')
      return result
    } catch (error) {
      ended(nesting.callbacks, 'rollback')
      throw error
    }
  })
}

/** MikroORM forks before it first awaits. */
function forking<T> (binding: Binding, nesting: Nesting, run: () => T): T {
  binding.nesting = nesting
  try {
    return run()
  } finally {
    binding.nesting = undefined
  }
}

/** Runs `fn`, and all that it starts, inside a new one. */
function runNested<T> (binding: Binding, fn: (nesting: Nesting) => T): T {
  const nesting: Nesting = { binding, callbacks: new OutcomeCallbacks(), outer: nestings.getStore(), em: undefined }
  return nestings.run(nesting, fn, nesting)
}

/** Runs `fn` unseen by every `em.transactional()` that encloses it: what a scope does is a unit of work of its own. */
export function outsideTransactions<T> (fn: () => T): T {
  return TransactionContext.currentTransactionContext() === undefined ? fn() : TransactionContext.create(NOBODY, fn)
}

/** Its name is no ORM's context name, so that MikroORM does not find it for any of them. */
const NOBODY = { _id: 0, name: Symbol('nobody') } as unknown as EntityManager
