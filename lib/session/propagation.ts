import { TransactionPropagation, TransactionStateError, type TransactionOptions } from '@mikro-orm/core'

type Propagation = NonNullable<TransactionOptions['propagation']>

/** What is outside the transaction that runs. All others but NESTED join it. */
export const ALONE = new Set<unknown>([TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED])

/** With autocommit MikroORM sees a context but there is no transaction: what each propagation means when there is none. */
export function firstPropagation (propagation: Propagation): Propagation {
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
