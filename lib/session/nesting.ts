import { AsyncLocalStorage } from 'node:async_hooks'
import type { AnyEntity, EntityManager, Transaction } from '@mikro-orm/core'
import { transactionIsOver } from '../errors/errors.ts'
import type { OutcomeCallbacks } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { Outcome } from '../types.ts'
import type { SessionSnapshot } from './snapshot.ts'
import type { SessionTransactions } from './session-transactions.ts'

/** What waits for outcomes of a scope. */
export interface SessionOutcomes {
  /** What waits for the next one of the scope. */
  waiting (): OutcomeCallbacks
  /** A transaction that MikroORM has begun is over, and so is the wait of what waited for it in `callbacks`. */
  ended (database: SessionDatabase, callbacks: OutcomeCallbacks, outcome: Outcome): void
}

/** Who ends the transactions that all sessions of a scope share the fate of. */
export interface SessionOwner {
  readonly outcomes: SessionOutcomes
  commit (): Promise<void>
  rollback (): Promise<void>
}

/** What an EntityManager of a scope belongs to. */
export interface Binding {
  readonly database: SessionDatabase
  readonly owner: SessionOwner
  readonly transactions: SessionTransactions
  /** Set while MikroORM forks for a nested transaction, whose fork belongs to the scope too. A fork by the user does not. */
  nesting: Nesting | undefined
  /** The savepoints that are set, or wait for their turn, each until it is over. */
  readonly savepoints: Set<Promise<unknown>>
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
  /** Whether it is committed by itself. */
  readonly isAlone: boolean
  /** Whether it has its own instances of the entities. */
  readonly isSeparate: boolean
  /** Whether it was committed, released or rolled back. */
  isOver: boolean
  /** What the session that it is inside was like before it; forgotten at its end, since a connection that it has opened keeps this. */
  before: SessionSnapshot | undefined
  /** What was written in it, and in what was inside it. */
  readonly written: Set<AnyEntity>
  /** What the first flush that has failed in it has thrown. */
  failure: Error | undefined
  /** Ends what its fork and the session have in common. */
  unshare: (() => void) | undefined
  /** Lets flushes of the session begin again, once it is rolled back. */
  releaseFlushes: (() => void) | undefined
}

/** What an EntityManager of a scope has to find both by. */
export const BINDING = Symbol('fastify-scoped-db.binding')
export const NESTING = Symbol('fastify-scoped-db.nesting')

export type BoundEntityManager = EntityManager & { [BINDING]?: Binding, [NESTING]?: Nesting }

const nestings = new AsyncLocalStorage<Nesting>()

/** @throws ScopeClosedError for what goes on after its transaction: what it changes would be lost */
export function assertNotOver (nesting: Nesting | undefined): void {
  if (nesting?.isOver === true) throw transactionIsOver()
}

/**
 * The innermost one that this belongs to and that has a fork of its own.
 * @throws ScopeClosedError when it is over: work can outlive it
 */
export function currentNesting (binding: Binding): Nesting | undefined {
  let nesting = nestings.getStore()
  while (nesting !== undefined && (nesting.binding !== binding || nesting.em === undefined)) nesting = nesting.outer
  assertNotOver(nesting)
  return nesting
}

/** The innermost one that this runs in, of whichever session. */
export function innermostNesting (): Nesting | undefined {
  return nestings.getStore()
}

/** Runs `fn` with `nesting` as the innermost one; without one, on the session itself. */
export function inNesting<T> (nesting: Nesting | undefined, fn: () => T): T {
  return nestings.run(nesting as Nesting, fn)
}

/** What waits for the end of the transaction that a session is in now: an `em.transactional()`, or else the scope. */
export function waitingFor (binding: Binding): OutcomeCallbacks {
  return currentNesting(binding)?.callbacks ?? binding.owner.outcomes.waiting()
}

/** Whether a session is in the transaction that it shares the fate of with its scope, and in none that MikroORM has begun. */
export function isInMain (binding: Binding | undefined, context: Transaction | undefined): binding is Binding {
  return binding !== undefined && context !== undefined && context === binding.transactions.context
}

/** What waits for the end of the transaction that a session is in now: an `em.transactional()`, or else the scope. */
export function callbacksOf (session: EntityManager): OutcomeCallbacks {
  return waitingFor(bindingOf(session))
}

/** What stands for the instances of entities that `em` shares with others: a savepoint has those of the session that it is inside. */
export function instancesOf (em: BoundEntityManager): object {
  const { [BINDING]: binding, [NESTING]: innermost } = em
  for (let nesting = innermost; nesting !== undefined; nesting = nesting.outer) if (nesting.binding === binding && nesting.isSeparate) return nesting
  return binding ?? em
}

export function bindingOf (session: EntityManager): Binding {
  return (session as BoundEntityManager)[BINDING] as Binding
}
