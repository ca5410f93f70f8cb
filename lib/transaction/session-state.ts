import { statementsIn } from './statement.ts'

/** Most of what is sent, and leaves nothing. */
const CHANGES_ROWS = /^\s*(?:insert|update|delete|replace|merge)\b/i

/** Locks of a session, and its settings, by way of a function. Those of a transaction have names of their own. */
const FUNCTIONS = /\b(?:get_lock|pg_(?:try_)?advisory_lock(?:_shared)?|set_config)\s*\(/i

const AHEAD = '^(?:[\\s(]|/\\*|\\*/|M?!\\d*)*'

const STATE = new RegExp(`${AHEAD}(?:set|use|lock|handler|prepare|listen|load|declare|attach|create\\s+(?:or\\s+replace\\s+)?(?:global\\s+|local\\s+)?temp(?:orary)?)\\b`, 'i')

/** Settings of a server, of one statement or of a transaction; and what MikroORM sends to SQL Server, and takes back. */
const NO_STATE = new RegExp(`${AHEAD}set\\s+(?:(?:global|persist|persist_only|statement|password|constraints)\\b|@@(?:global|persist|persist_only)\\.|identity_insert\\b)`, 'i')

/** Where DDL can be rolled back. Elsewhere LOCAL is another word for SESSION, and SET TRANSACTION is about the next one. */
const OF_TRANSACTION = new RegExp(`${AHEAD}set\\s+(?:local|transaction)\\b`, 'i')

/** Variables of the user's, which nothing looks at but what has set them; and nothing else beside them. */
const VARIABLES = new RegExp(`${AHEAD}set\\s+@(?!@)(?![\\s\\S]*,\\s*(?:@@|(?:session|local)\\b|[a-z_]\\w*\\s*:?=))`, 'i')

/**
 * Whether a statement leaves something on its connection that changes what the statements of whoever is next there mean, or that keeps others
 * waiting: settings of the session, the current database, locks of the session, temporary tables. By its text alone: what a procedure does cannot be seen.
 * @param isDdlTransactional whether the database can roll DDL back, which tells the one kind from the other
 *
 * @example
 * leavesState("set session sql_mode = ''", false)  // true
 * leavesState('set @count = 1', false)             // false
 */
export function leavesState (sql: string, isDdlTransactional: boolean): boolean {
  if (CHANGES_ROWS.test(sql)) return false
  return FUNCTIONS.test(sql) || statementsIn(sql).some(one => STATE.test(one) && !isHarmless(one, isDdlTransactional))
}

function isHarmless (statement: string, isDdlTransactional: boolean): boolean {
  return NO_STATE.test(statement) || VARIABLES.test(statement) || (isDdlTransactional && OF_TRANSACTION.test(statement))
}
