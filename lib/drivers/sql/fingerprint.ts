/** What is a value, in any database, or only looks like one: quoted names are kept, and digits in names are no values. And space, unless it is one blank. */
const TOKENS = /'(?:[^'\\]|\\[^]|'')*'|"[^"]*"|`[^`]*`|\$\d+|(?<![\w$@.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)|\s{2,}|[^\S ]/gi

const LIST = /\(\s*\?(?:\s*,\s*\?)+\s*\)/g

const ROWS = /\(\?\)(?:\s*,\s*\(\?\))+/g

/**
 * A text without its values, so that statements that differ in nothing else have the same: each literal and placeholder is a `?`, and a list of
 * them is one.
 *
 * @example
 * fingerprint("select * from user where id in (1, 2) and name = 'Ada'")  // 'select * from user where id in (?) and name = ?'
 */
export function fingerprint (sql: string): string {
  return sql.replace(TOKENS, withoutValue).replace(LIST, '(?)').replace(ROWS, '(?)').trim()
}

function withoutValue (token: string): string {
  if (/^["`]/.test(token)) return token
  return /^\s/.test(token) ? ' ' : '?'
}
