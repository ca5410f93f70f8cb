/** What can be told of the text of statements in any database: where each begins, and what is a literal. */

const COMMENT = '/\\*(?!M?!)(?:(?!\\*/|/\\*)[\\s\\S])*\\*/'

/** Literals, quoted names, and comments that nobody executes. A quote that is doubled ends one, and begins another. */
const QUOTED = new RegExp(`'[^']*'|"[^"]*"|\`(\\w+)\`|\`[^\`]*\`|${COMMENT}`, 'g')

/** What databases quote or comment in different ways: then literals are not told from the rest. */
const UNCLEAR = /--|#|\/\*|\$[\w\u0080-\uffff]*\$/

/** With a backslash a quote ends its literal, or does not, by database and by its settings. */
const ESCAPED_QUOTE = /\\['"`]/

/** A text without its literals and its comments; as it is, where they cannot be told from the rest. */
export function withoutLiterals (sql: string): string {
  if (ESCAPED_QUOTE.test(sql)) return sql
  const bare = sql.replace(QUOTED, ' $1 ')
  return UNCLEAR.test(bare) ? sql : bare
}

const COMMENTED = /--|\/\*/

const LITERALS = /'[^']*'|"[^"]*"|`[^`]*`/g

/** Whether a text has a comment that is no part of a literal. In doubt it has one. */
export function hasComment (sql: string): boolean {
  return COMMENTED.test(sql) && (ESCAPED_QUOTE.test(sql) || UNCLEAR.test(sql.replace(LITERALS, ' ')))
}

/** Each statement of a text; where there are several, without their literals. In doubt there are. */
export function statementsIn (sql: string): string[] {
  if (!sql.includes(';')) return [sql]
  return withoutLiterals(sql).split(';').filter(part => part.trim() !== '')
}

/** What ends a statement, or may hide that it goes on. */
const SEPARATES = /;|--|#|\/\*/

/** Whether a text is one statement, and no more, and whatever is put behind it is none of its comments. In doubt it is not. A quote may be left open. */
export function isOneStatement (sql: string): boolean {
  return !SEPARATES.test(sql) || !SEPARATES.test(withoutLiterals(sql))
}

const SKIPPED = `[\\s(]|${COMMENT}|(?:--|#)[^\\n]*\\n`

/** What can stand ahead of a statement's first word. */
export const AHEAD = `^(?:${SKIPPED})*`

/** The same, into what MySQL and MariaDB execute of a comment, for whom it does no harm to take one for executed. */
export const AHEAD_EXECUTED = `^(?:${SKIPPED}|/\\*M?!\\d*|\\*/)*`
