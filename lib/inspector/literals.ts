/** A value as its database writes it in a statement. */
export type Quote = (value: unknown) => unknown

/** The longest text, or bytes, that are kept as a parameter. */
const LONGEST = 10_000

/** Strings, quoted names, comments and the like, with no placeholder in them; and what stands for a parameter, or for a question mark. */
const TOKENS = /'[^']*'|"[^"]*"|`[^`]*`|\$(\w*)\$[^]*?\$\1\$|--[^\n]*|\/\*[^]*?\*\/|\\\?|\?\??|[$@]\d+/g

const NUMBERED = /^[$@]\d/

/** With a backslash a quote ends its literal, or does not, by database and by its settings. */
const ESCAPED_QUOTE = /\\['"`]/

/**
 * Parameters as literals.
 * @returns undefined where one is too large to be kept, or cannot be written so
 */
export function literalsOf (parameters: readonly unknown[], quote: Quote): string[] | undefined {
  try {
    const literals = parameters.map(value => lengthOf(value) > LONGEST ? undefined : String(quote(value)))
    return literals.every(literal => literal !== undefined && literal.length <= 2 * LONGEST + 10) ? literals as string[] : undefined
  } catch {
    return undefined
  }
}

function lengthOf (value: unknown): number {
  return typeof value === 'string' ? value.length : ArrayBuffer.isView(value) ? value.byteLength : 0
}

/**
 * A statement that can be run as it is.
 * @returns undefined where it cannot be told for certain which literal is to stand where
 *
 * @example
 * withLiterals('select * from a where b = ?', ["'c'"])  // "select * from a where b = 'c'"
 */
export function withLiterals (sql: string, literals: readonly string[]): string | undefined {
  if (literals.length === 0) return sql
  if (ESCAPED_QUOTE.test(sql)) return undefined
  const isNumbered = [...sql.matchAll(TOKENS)].some(([token]) => NUMBERED.test(token))
  let count = 0
  let isCertain = true
  const text = sql.replace(TOKENS, token => {
    const literal = isNumbered ? NUMBERED.test(token) && literals[Number(token.slice(1)) - 1] : token === '?' && literals[count++]
    // An identifier, or one that there is no parameter for.
    if (literal === undefined || (token === '??' && !isNumbered)) isCertain = false
    return literal || (token === '\\?' && !isNumbered ? '?' : token)
  })
  return isCertain && (isNumbered || count === literals.length) ? text : undefined
}
