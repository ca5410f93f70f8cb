// Where it cannot be told what is a literal, by the database and by its settings, there is no text: none is better than a secret.

/** With a backslash a quote ends its literal, or does not. */
const UNCLEAR = /\\['"]/

const COMMENT = '--[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$)'
const LITERAL = "'[^']*'|\\d[\\p{L}\\p{N}_.]*"
const NAME = '`[^`]*`|[$@:]*[\\p{L}_][\\p{L}\\p{N}_$]*|\\$\\d+'

const pattern = (comment: string, literal: string, name: string) => new RegExp(`(?<comment>${comment})|(?<literal>${literal})|${name}`, 'gu')

const BY_SYSTEM = new Map([
  ['postgresql', pattern(COMMENT, `${LITERAL}|\\$(?<tag>\\w*)\\$[\\s\\S]*?\\$\\k<tag>\\$`, `"[^"]*"|${NAME}`)],
  ['microsoft.sql_server', pattern(COMMENT, LITERAL, `"[^"]*"|${NAME}`)]
])

/** What is in double quotes may be a literal here. */
const OTHERS = pattern(`${COMMENT}|#[^\\n]*`, `${LITERAL}|"[^"]*"`, NAME)

/** It has begun something that has not ended. */
const LEFT = /'|\$\w*\$/

/**
 * A text with `?` for each literal, and without its comments.
 * @param system the name that OpenTelemetry has for the database
 * @returns undefined where the literals cannot be told from the rest
 *
 * @example
 * withoutValues("select * from user where name = 'Ada' limit 1", 'sqlite')  // 'select * from user where name = ? limit ?'
 */
export function withoutValues (sql: string, system: string): string | undefined {
  if (UNCLEAR.test(sql)) return undefined
  const text = sql.replaceAll(BY_SYSTEM.get(system) ?? OTHERS, (found: string, ...rest: unknown[]) => {
    const { comment, literal } = rest.at(-1) as Record<'comment' | 'literal', string | undefined>
    if (comment !== undefined) return ' '
    return literal !== undefined || /^(?:true|false)$/i.test(found) ? '?' : found
  })
  return LEFT.test(text) ? undefined : text.trim()
}
