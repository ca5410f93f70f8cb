import type { EntityManager } from '@mikro-orm/core'
import type { Database } from '../application/database.ts'
import type { OpenScope } from '../application/open-scope.ts'
import { driverOf } from '../drivers/drivers.ts'
import { statementKind } from '../drivers/sql/statements.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import type { SentStatement } from './entry.ts'
import { withLiterals } from './literals.ts'

/** What a database says of how it would carry out a statement: a table. */
export interface Plan {
  readonly columns: string[]
  readonly rows: string[][]
}

const SELECTS = /^[\s(]*(?:select|with|values|table)\b/i

/** What asks for the plan of a statement. Undefined where there is none, or where it might do more than read. */
function questionOf ({ orm }: Database, { sql, literals, kind }: SentStatement): string | undefined {
  const connection = orm.driver.getConnection()
  if (literals === undefined || !SELECTS.test(sql) || !isSqlConnection(connection)) return undefined
  const { explain, functions } = driverOf(connection.getClient().getExecutor())
  // Its text as it was sent may have values in it, which can look like anything.
  const isRead = kind === 'read' || statementKind(sql, functions) === 'read'
  const text = isRead ? withLiterals(sql, literals) : undefined
  return explain === undefined || text === undefined ? undefined : `${explain} ${text}`
}

export function isExplainable (database: Database, statement: SentStatement): boolean {
  return questionOf(database, statement) !== undefined
}

/**
 * Asks a database for the plan of a statement, in a read-only scope that is rolled back.
 * @param unseen opens that scope so that nobody is shown it
 * @returns undefined where there is none
 * @throws what the database says
 */
export async function explain (database: Database, statement: SentStatement, unseen: <T>(open: () => T) => T): Promise<Plan | undefined> {
  const question = questionOf(database, statement)
  if (question === undefined) return undefined
  await using scope = unseen(() => database.open({ commitOnTeardown: true, begin: 'statement', readOnly: true, echo: false, recordStatements: false }) as OpenScope<EntityManager>)
  const rows = await (scope.session as EntityManager & { execute (sql: string): Promise<Record<string, unknown>[]> }).execute(question)
  const columns = Object.keys(Object(rows[0]) as object)
  return { columns, rows: rows.map(row => columns.map(column => String(row[column] ?? ''))) }
}
