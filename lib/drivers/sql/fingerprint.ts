/** What is a value in any database, beside what only looks like one: quoted names, and digits in names. */
const TOKENS = /(?<literal>'(?:[^'\\]|\\[^]|'')*')|"[^"]*"|`[^`]*`|(?<value>\$\d+|(?<![\w$@.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w))|(?<space>\s+)/gi

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
  return sql
    .replace(TOKENS, (token, literal?: string, value?: string, space?: string) => space !== undefined ? ' ' : literal ?? value ? '?' : token)
    .replace(LIST, '(?)')
    .replace(ROWS, '(?)')
    .trim()
}
