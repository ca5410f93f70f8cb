import { AHEAD_EXECUTED, statementsIn, withoutLiterals } from './text.ts'

/** Most of what is sent, and leaves nothing but by way of a function. */
const CHANGES_ROWS = /^\s*(?:insert|update|delete|replace|merge)\b/i

/** Locks of a session, and its settings, by way of a function. Those of a transaction have names of their own. */
const FUNCTIONS = /\b(?:get_lock|pg_(?:try_)?advisory_lock(?:_shared)?|set_config)\b/i

/** Settings, locks, temporary tables; transactions that are still open, and what cannot be seen. */
const STATE = new RegExp(`${AHEAD_EXECUTED}(?:set|use|lock|handler|prepare|execute|listen|load|declare|attach|create\\s+(?:or\\s+replace\\s+)?(?:global\\s+|local\\s+)?temp(?:orary)?` +
  '|begin|start\\s+transaction|xa|(?:commit|rollback|end)\\b[\\s\\S]*\\bchain|flush\\b[\\s\\S]*\\b(?:lock|export)|backup)\\b', 'i')

/** Settings of the one statement that comes after them. */
const FOR_STATEMENT = new RegExp(`${AHEAD_EXECUTED}set\\s+statement\\b[\\s\\S]*?\\bfor\\b`, 'i')

/** Variables of the user's, which nothing looks at but what has set them, and settings of the server. */
const ASSIGNED = '(?:@\\s*(?!@)|(?:@@\\s*)?(?:global|persist|persist_only)\\b)'

/** Only those are set, settings of a transaction, or what MikroORM sends to SQL Server, and takes back. */
const NO_STATE = new RegExp(`${AHEAD_EXECUTED}set\\s+(?:${ASSIGNED}|(?:password|constraints|identity_insert)\\b)(?![\\s\\S]*,(?!\\s*${ASSIGNED})\\s*(?:[^,=()]*=|(?:names|charset|character)\\b))`, 'i')

/** Where DDL can be rolled back. Elsewhere LOCAL is another word for SESSION, and SET TRANSACTION is about the next one. */
const OF_TRANSACTION = new RegExp(`${AHEAD_EXECUTED}set\\s+(?:local|transaction)\\b`, 'i')

/**
 * Whether a statement leaves something on its connection that changes what the statements of whoever is next there mean, or that keeps others
 * waiting: settings of the session, the current database, locks, temporary tables, a transaction. By its text alone: what a procedure does cannot be seen.
 * @param isDdlTransactional whether the database can roll DDL back, which tells the one kind from the other
 *
 * @example
 * leavesState("set session sql_mode = ''", false)  // true
 * leavesState('set @count = 1', false)             // false
 */
export function leavesState (sql: string, isDdlTransactional: boolean): boolean {
  return FUNCTIONS.test(sql) || statementsIn(sql).some(one => !CHANGES_ROWS.test(one) && isState(withoutLiterals(one), isDdlTransactional))
}

function isState (statement: string, isDdlTransactional: boolean): boolean {
  const one = statement.replace(FOR_STATEMENT, '')
  return STATE.test(one) && !NO_STATE.test(one) && !(isDdlTransactional && OF_TRANSACTION.test(one))
}
