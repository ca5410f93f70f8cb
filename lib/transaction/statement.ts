import { ReadOnlyError, scopeIs } from '../errors/errors.ts'
import type { Dialect } from './dialect.ts'
import { callsOnlyHarmless } from './functions.ts'

/**
 * - `read`: a plain read, which gives the same result outside a transaction.
 * - `write`: changes something, or is not recognised.
 * - `doubtful`: begins like a read, but may lock, write or depend on its connection; its place is inside.
 */
type StatementKind = 'read' | 'doubtful' | 'write'

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
  '|get_lock|release_lock|release_all_locks|last_insert_id|found_rows|row_count|nextval|setval|currval|lastval|last_insert_rowid' +
  '|changes|total_changes|pg_\\w*lock\\w*)\\b'
].join('|'), 'i')

/**
 * Sorts a statement by its text alone. It looks for words, not for grammar, and words in literals count too: a read
 * taken for a doubtful one costs a BEGIN and a COMMIT, the reverse would cost correctness.
 * @param dialect whose functions it may call; undefined where that is not known
 *
 * @example
 * statementKind('select * from `user` where `id` = 1')  // 'read'
 * statementKind('select * from `user` for update')      // 'doubtful'
 */
export function statementKind (sql: string, dialect?: Dialect): StatementKind {
  const [first = '', ...others] = statementsIn(sql)
  if (![first, ...others].every(isReadAlone)) return 'write'
  return DOUBTS.test(sql) || !callsOnlyHarmless(sql, dialect) ? 'doubtful' : 'read'
}

function isReadAlone (sql: string): boolean {
  return READS.test(sql) && !WITH_WRITE.test(sql)
}

const COMMENT = '/\\*(?!M?!)(?:(?!\\*/|/\\*)[\\s\\S])*\\*/'

/** Literals, quoted names, and comments that nobody executes. A quote that is doubled ends one, and begins another. */
const QUOTED = new RegExp(`'[^']*'|"[^"]*"|\`(\\w+)\`|\`[^\`]*\`|${COMMENT}`, 'g')

/** What databases quote or comment in different ways: then literals are not told from the rest. */
const UNCLEAR = /--|#|\/\*|\$\w*\$/

/** With a backslash a quote ends its literal, or does not, by database and by its settings. */
const ESCAPED_QUOTE = /\\['"`]/

/** A text without its literals and its comments; as it is, where they cannot be told from the rest. */
export function withoutLiterals (sql: string): string {
  if (ESCAPED_QUOTE.test(sql)) return sql
  const bare = sql.replace(QUOTED, ' $1 ')
  return UNCLEAR.test(bare) ? sql : bare
}

/** Each statement of a text; where there are several, without their literals. In doubt there are. */
export function statementsIn (sql: string): string[] {
  if (!sql.includes(';')) return [sql]
  return withoutLiterals(sql).split(';').filter(part => part.trim() !== '')
}

const SKIPPED = `[\\s(]|${COMMENT}|(?:--|#)[^\\n]*\\n`

/** What can stand ahead of a statement's first word. */
const AHEAD = `^(?:${SKIPPED})*`

/** The same, into what MySQL and MariaDB execute of a comment, for whom it does no harm to take one for executed. */
export const AHEAD_EXECUTED = `^(?:${SKIPPED}|/\\*M?!\\d*|\\*/)*`

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

const TO_SAVEPOINT = new RegExp(`${AHEAD}rollback\\s+(?:(?:work|transaction)\\s+)?to\\b`, 'i')

/** A statement whose kind is found out once, and only if somebody asks. */
export class Statement {
  readonly sql: string
  readonly #dialect: Dialect | undefined
  #kind: StatementKind | undefined

  constructor (sql: string, dialect: Dialect | undefined, kind?: StatementKind) {
    this.sql = sql
    this.#dialect = dialect
    this.#kind = kind
  }

  get kind (): StatementKind {
    this.#kind ??= statementKind(this.sql, this.#dialect)
    return this.#kind
  }

  /** Whether it stands for something else. */
  get isControl (): boolean {
    return CONTROLS.has(this)
  }

  /** Whether it rolls back to a savepoint, so that it goes through where nothing else does. */
  get recovers (): boolean {
    return TO_SAVEPOINT.test(this.sql)
  }
}

/** Stands for what is run on the transaction's connection by other means than a statement: SAVEPOINT and its kin. */
export const CONTROL = new Statement('', undefined, 'doubtful')

/** The same for a rollback to a savepoint. */
export const RECOVERY = new Statement('rollback to', undefined, 'doubtful')

/** The same for a connection that is given away: each of the statements on it is looked at by itself. */
export const PROVIDED = new Statement('', undefined, 'doubtful')

const CONTROLS = new Set([CONTROL, RECOVERY, PROVIDED])

/** Where a statement goes. */
export type Placement = 'inside' | 'outside'

/**
 * Where a statement goes: `inside` the transaction, which begins if it has not, or `outside`, on any pooled connection,
 * as it would without a transaction.
 */
export type PlacementRule = (statement: Statement, begun: boolean) => Placement

/** The first statement of any kind begins. */
export const fromTheFirstStatement: PlacementRule = () => 'inside'

/** Plain reads before the first other statement stay outside. */
export const fromTheFirstWrite: PlacementRule = (statement, begun) => begun || statement.kind !== 'read' ? 'inside' : 'outside'

/** Nothing begins by itself: autocommit. */
export const never: PlacementRule = () => 'outside'

/**
 * Refuses what writes. What only may write is the database's to judge, which is told that the transaction is read-only; outside any it is told
 * nothing, so that it is refused as well.
 */
export function readOnly (rule: PlacementRule): PlacementRule {
  return (statement, begun) => {
    if (statement.kind === 'write') throw new ReadOnlyError()
    const placement = rule(statement, begun)
    if (placement === 'outside' && statement.kind === 'doubtful' && statement !== CONTROL) throw new ReadOnlyError()
    return placement
  }
}

/** After the outcome: plain reads, each by itself. */
export function afterOutcome (outcome: string): PlacementRule {
  return ({ kind }) => {
    if (kind !== 'read') throw scopeIs(outcome)
    return 'outside'
  }
}

export const closed: PlacementRule = () => {
  throw scopeIs('closed')
}
