import { isTransactionControl } from './statements.ts'
import { hasComment } from './text.ts'

/** A request's id can be its client's to choose. */
const LONGEST = 256

/**
 * A comment in the format of sqlcommenter (https://google.github.io/sqlcommenter/spec). Nothing of a value can end it, or be taken for a placeholder: all but
 * letters, digits and `-_.~` is percent-encoded.
 * @returns undefined where there is nothing to say
 *
 * @example
 * sqlComment({ route: '/users/:id', method: 'GET' })  // "/*method='GET',route='%2Fusers%2F%3Aid'*\/"
 */
export function sqlComment (tags: Readonly<Record<string, string | undefined>>): string | undefined {
  const pairs = Object.entries(tags).flatMap(([name, value]) => value === undefined ? [] : `${name}='${encode(value)}'`)
  return pairs.length === 0 ? undefined : `/*${pairs.sort().join()}*/`
}

/** The same statement with a comment behind it; without, if it has one of its own, or may have, as the format wants it, or begins or ends a transaction. */
export function withComment (sql: string, comment: string): string {
  if (hasComment(sql) || isTransactionControl(sql)) return sql
  const text = sql.trimEnd()
  return text.endsWith(';') ? `${text.slice(0, -1)} ${comment};` : `${text} ${comment}`
}

function encode (value: string): string {
  return encodeURIComponent(value.slice(0, LONGEST).toWellFormed()).replaceAll(/[!'()*]/g, mark => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
}
