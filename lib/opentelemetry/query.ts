import { querySummary } from './query-summary.ts'
import { withoutValues } from './query-text.ts'

/** What can be told of a statement without its values. */
export interface Query {
  /** Undefined where the values cannot be told from the rest. */
  readonly text: string | undefined
  /** What it does to which tables: never empty. */
  readonly summary: string
}

/** An ORM sends the same texts again and again. */
const KNOWN = new Map<string, Query>()

const MOST = 1_000

/** A longer text has many values in it, as a rule, and does not come again. In characters: all of them together are a few megabytes. */
const LONGEST = 4_000

/** @param system the name that OpenTelemetry has for the database */
export function queryOf (sql: string, system: string): Query {
  const key = `${system} ${sql}`
  let query = KNOWN.get(key)
  if (query === undefined) {
    const text = withoutValues(sql, system)
    query = { text, summary: querySummary(text ?? FIRST_WORD.exec(sql)?.[0] ?? '') || system }
    if (key.length > LONGEST) return query
    if (KNOWN.size === MOST) KNOWN.clear()
    KNOWN.set(key, query)
  }
  return query
}

const FIRST_WORD = /^\s*\w+/
