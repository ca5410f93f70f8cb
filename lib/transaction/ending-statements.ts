import { mayEndTransaction, setsAutocommit } from '../drivers/sql/statements.ts'
import { RollbackOnlyError } from '../errors/errors.ts'
import type { ActiveTransaction } from './active-transaction.ts'
import type { Statement } from './statement.ts'

/** Who is told when a statement has ended the transaction. */
interface Told {
  endedBehindBack (error: Error): void
}

/** Whether it is to be watched. */
export function isDubious (statement: Statement): boolean {
  return !statement.isControl && statement.kind !== 'read' && mayEndTransaction(statement.sql)
}

/**
 * What may end the transaction is followed by a look whether it has.
 * @returns what takes the look, and releases
 */
export async function watched (statement: Statement, active: ActiveTransaction, told: Told, release: () => void): Promise<() => Promise<void>> {
  const isMarked = await active.mark()
  return async () => {
    try {
      if (setsAutocommit(statement.sql) || !await isMarked()) told.endedBehindBack(new RollbackOnlyError(ENDED_BY_STATEMENT))
    } finally {
      release()
    }
  }
}

const ENDED_BY_STATEMENT = 'a statement has ended its transaction (COMMIT, ROLLBACK, BEGIN, XA, a procedure, or DDL where that commits)'
