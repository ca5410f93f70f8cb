import type { EntityManager } from '@mikro-orm/core'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import { NoTransactions } from './no-transactions.ts'
import type { TransactionRules } from '../transaction/contracts.ts'
import type { SessionTransactions } from './session-transactions.ts'
import { SqlTransactions } from './sql-transactions.ts'

/** Makes what the statements of `session` will run in: a lazy transaction where the driver speaks SQL. */
export function openTransactions (session: EntityManager, rules: TransactionRules, report: (error: unknown) => void): SessionTransactions {
  const connection = session.getDriver().getConnection('write')
  return isSqlConnection(connection) ? new SqlTransactions(session, connection, rules, report) : new NoTransactions(rules)
}
