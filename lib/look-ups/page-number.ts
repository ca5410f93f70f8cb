import { InvalidPageError } from '../errors/errors.ts'

/** Rows on a page, if nobody says. */
export const PER_PAGE = 20

/** Rows on a page, at most, whatever a client asks for. */
export const MAX_PER_PAGE = 100

/**
 * A number from a query string, from 1 on. One that is too large for a number is as large as they get: there is no such page.
 * @param lenient whether what is malformed counts as not given
 * @throws FST_SCOPED_DB_INVALID_PAGE
 */
export function pageNumber (name: string, given: unknown, fallback: number, lenient: boolean): number {
  if (given === undefined) return fallback
  const number = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : given
  if (isPageNumber(number)) return Math.min(number, Number.MAX_SAFE_INTEGER)
  if (lenient) return fallback
  throw new InvalidPageError(name, 'a whole number from 1 on')
}

function isPageNumber (value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && (Number.isInteger(value) || value === Infinity)
}
