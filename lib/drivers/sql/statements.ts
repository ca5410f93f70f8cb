import { callsOnlyHarmless } from './functions.ts'
import { AHEAD, AHEAD_EXECUTED, statementsIn } from './text.ts'

/**
 * - `read`: a plain read, which gives the same result outside a transaction.
 * - `write`: changes something, or is not recognised.
 * - `doubtful`: begins like a read, but may lock, write or depend on its connection; its place is inside.
 */
export type StatementKind = 'read' | 'doubtful' | 'write'

const READS = /^[\s(]*(?:select|show|describe|desc|explain|values|table|with)\b/i

const WITH_WRITE = /^\s*with\b[\s\S]*\)\s*(?:insert|update|delete|replace|merge)\b/i

/**
 * What makes a read doubtful: locks, INTO, writing words (a CTE, EXPLAIN ANALYZE), a second statement, comments (they
 * can hold all of it), variables, sequences, what is said about the statement before it, and functions that live on their connection, which some
 * databases let one call without brackets.
 */
const DOUBTS = new RegExp([
  ';\\s*\\S', '/\\*', '--', '#', '@',
  '\\b(?:for\\s+(?:update|share|no\\s+key|key\\s+share)|lock\\s+in\\s+share|into|insert|update|delete|replace|merge|analyze' +
  '|(?:next|previous)\\s+value\\s+for|sql_calc_found_rows|show\\s+(?:count\\s*\\(\\s*\\*\\s*\\)\\s*)?(?:warnings|errors)|show\\s+profiles?' +
  '|updlock|xlock|holdlock|tablockx?|paglock|rowlock|repeatableread|serializable' +
  '|get_lock|release_lock|release_all_locks|last_insert_id|found_rows|row_count|nextval|setval|currval|lastval|last_insert_rowid' +
  '|changes|total_changes|pg_\\w*lock\\w*)\\b'
].join('|'), 'i')

/**
 * Sorts a statement by its text alone. It looks for words, not for grammar, and words in literals count too: a read
 * taken for a doubtful one costs a BEGIN and a COMMIT, the reverse would cost correctness.
 * @param builtIn the functions of its database that it may call
 *
 * @example
 * statementKind('select * from `user` where `id` = 1')  // 'read'
 * statementKind('select * from `user` for update')      // 'doubtful'
 */
export function statementKind (sql: string, builtIn: ReadonlySet<string> = new Set()): StatementKind {
  const [first = '', ...others] = statementsIn(sql)
  if (![first, ...others].every(isReadAlone)) return 'write'
  return DOUBTS.test(sql) || !callsOnlyHarmless(sql, builtIn) ? 'doubtful' : 'read'
}

function isReadAlone (sql: string): boolean {
  return READS.test(sql) && !WITH_WRITE.test(sql)
}

/** None of these ends a transaction, in any database. */
const STAYS = new RegExp(`${AHEAD}(?:select|insert|update|delete|replace|merge|with|values|table|show|describe|desc|explain|do|savepoint|release|rollback\\s+(?:work\\s+|transaction\\s+)?to)\\b`, 'i')

/**
 * Whether a statement may end the transaction that it is sent in, or begin another, behind the back of whoever has begun it: COMMIT and its
 * kin, DDL where that commits, and what cannot be seen in the text, such as a procedure. In doubt it may.
 */
export function mayEndTransaction (sql: string): boolean {
  const [first = '', ...others] = statementsIn(sql)
  return others.length > 0 || !STAYS.test(first)
}

const SET = new RegExp(`${AHEAD_EXECUTED}set\\b`, 'i')

/** Whether it decides what becomes of the statements that come after the transaction on the same connection. */
export function setsAutocommit (sql: string): boolean {
  return statementsIn(sql).some(one => SET.test(one) && /\bautocommit\b/i.test(one))
}

const CONTROLS = new RegExp(`${AHEAD}(?:begin|start\\s+transaction|set\\s+transaction|commit|end|rollback|savepoint|release|save\\s+transaction)\\b`, 'i')

/** Whether it begins or ends a transaction or a savepoint, and does nothing else. */
export function isTransactionControl (sql: string): boolean {
  return CONTROLS.test(sql) && statementsIn(sql).length === 1
}

const TO_SAVEPOINT = new RegExp(`${AHEAD}rollback\\s+(?:(?:work|transaction)\\s+)?to\\b`, 'i')

/** Whether it rolls back to a savepoint, and nothing further. */
export function isRollbackToSavepoint (sql: string): boolean {
  return TO_SAVEPOINT.test(sql)
}
