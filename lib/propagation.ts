import { TransactionContext, TransactionPropagation, TransactionStateError } from '@mikro-orm/core'
import type { EntityManager, TransactionOptions } from '@mikro-orm/core'
import { runInScope, type ScopeSource } from './registry.ts'

/** With autocommit MikroORM sees a context but there is no transaction: what each propagation means when there is none. */
export function firstPropagation (propagation: NonNullable<TransactionOptions['propagation']>): NonNullable<TransactionOptions['propagation']> {
  switch (propagation) {
    case TransactionPropagation.REQUIRED:
    case TransactionPropagation.REQUIRES_NEW:
      return TransactionPropagation.NESTED
    case TransactionPropagation.SUPPORTS:
    case TransactionPropagation.NEVER:
      return TransactionPropagation.NOT_SUPPORTED
    case TransactionPropagation.MANDATORY:
      throw TransactionStateError.requiredTransactionNotFound(propagation)
    default:
      return propagation
  }
}

/**
 * Runs `fn` in the scope of `source`, or outside any, unseen by every `em.transactional()` of an enclosing scope: it is a unit of work of its own.
 */
export function inScope<T> (source: ScopeSource | undefined, fn: () => T): T {
  return runInScope(source, outsideTransactions<T>, fn)
}

function outsideTransactions<T> (fn: () => T): T {
  return TransactionContext.currentTransactionContext() === undefined ? fn() : TransactionContext.create(NOBODY, fn)
}

/** Its name is no ORM's context name, so that MikroORM does not find it for any of them. */
const NOBODY = { _id: 0, name: Symbol('nobody') } as unknown as EntityManager
