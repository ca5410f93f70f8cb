import type { CompiledQuery, QueryResult } from 'kysely'
import type { Combined, Destination } from './contracts.ts'
import { isOneStatement } from './sql/text.ts'

/** With a longer one the round trip is the least, and the server has a limit. */
const MAX_LENGTH = 65_536

/** What MikroORM sends ahead of BEGIN. */
const SET_TRANSACTION = /^set transaction [\w ,]+$/i

/** Functions that are about the statement before. Words in literals count, too, here and below. */
const ABOUT_ANOTHER = /\b(?:last_insert_id|row_count|found_rows)\b/i

const STATEMENT = /^\s*(select|with|update|delete)\b/i

/** Rows, or an id that was not generated. */
const OTHER_ANSWER = /\b(?:returning|on\s+duplicate)\b/i

const INSERT = /^\s*insert\s+into\s+(?:`([^`]+)`|(\w+))\s*\(([^)]*)\)\s*values\b/i

/**
 * MariaDB's compound statement, which ends at its first error: a statement is never carried out after a BEGIN that has failed. MySQL has none outside of
 * procedures. The server answers with the rows, the affected rows and the warnings of the statement, but neither with the id that it has generated, nor
 * with how many rows an UPDATE has changed of those that it has found.
 */
export function beginWith (begin: readonly string[], query: CompiledQuery, { version, generatedColumn }: Destination): Combined | undefined {
  const { sql } = query
  const ahead = begin.slice(0, -1)
  const isCombinable = version?.includes('MariaDB') === true && begin.at(-1) === 'begin' && ahead.every(one => SET_TRANSACTION.test(one)) &&
    query.query.kind === 'RawNode' && query.parameters.length === 0 && sql.length <= MAX_LENGTH && !ABOUT_ANOTHER.test(sql) && isOneStatement(sql)
  if (!isCombinable) return undefined
  const compound = (answer: Combined['answer'], then = '', between = ''): Combined => ({
    query: { ...query, sql: `begin not atomic ${[...ahead, 'start transaction'].join('; ')};${between} ${sql}\n;${then} end` },
    answer,
    restore (error: { sql?: string }) { if (error.sql !== undefined) error.sql = sql },
    hasBegun: 'select @@in_transaction as begun'
  })
  const [, word] = STATEMENT.exec(sql) ?? []
  if (word !== undefined) return compound(word.toLowerCase() === 'update' ? updated : answered)
  const column = columnToGenerate(sql, generatedColumn)
  if (column === undefined) return undefined
  if (column === null) return compound(answered)
  // Without the zero it is the id that another INSERT has generated, where this one has not.
  return compound(inserted, ' select last_insert_id() as id, row_count() as count;', ' do last_insert_id(0);')
}

/** The column of which an INSERT has a value generated; null where its table has none, undefined where that is not known, or where the statement itself may have a value for it. */
function columnToGenerate (sql: string, generatedColumn: Destination['generatedColumn']): string | null | undefined {
  const [, quoted, bare = quoted, columns = ''] = INSERT.exec(sql) ?? []
  const column = bare === undefined || OTHER_ANSWER.test(sql) ? undefined : generatedColumn(bare)
  const names = columns.split(',').map(name => name.replaceAll('`', '').trim().toLowerCase())
  return typeof column === 'string' && names.includes(column.toLowerCase()) ? undefined : column
}

/** Rows have the compound's own answer behind them. */
function answered<R> (result: QueryResult<unknown>): QueryResult<R> {
  const [rows] = result.rows
  return Array.isArray(rows) ? { rows } : result as QueryResult<R>
}

function updated<R> ({ numChangedRows, ...known }: QueryResult<unknown>): QueryResult<R> {
  return known as QueryResult<R>
}

/** Without an id that it has generated the statement alone would have answered with one that a trigger has set, if any has. */
function inserted<R> ({ rows: [rows] }: QueryResult<unknown>): QueryResult<R> | undefined {
  const [row] = rows as [Record<'id' | 'count', unknown>]
  const insertId = BigInt(String(row.id))
  return insertId === 0n ? undefined : { insertId, numAffectedRows: BigInt(String(row.count)), numChangedRows: 0n, rows: [] }
}
