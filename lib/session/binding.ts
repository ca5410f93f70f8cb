import type { Transaction } from '@mikro-orm/core'
import type { OutcomeCallbacks } from '../events/callbacks.ts'
import { currentNesting, type Nesting } from './nesting.ts'
import type { Outcome } from '../types.ts'
import type { SessionDatabase } from '../events/session-database.ts'
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
