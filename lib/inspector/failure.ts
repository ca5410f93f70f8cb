/** What a statement, or a commit, has failed with. */
export interface Failure {
  readonly code: string
  /** It can hold values. */
  readonly message: string
}

/** How much is kept of a message: it can have a whole statement in it. */
const LONGEST = 2_000

/** What is kept of whatever was thrown. Never throws: nobody could catch it. */
export function failureOf (error: unknown): Failure | undefined {
  if (error === undefined) return undefined
  try {
    const { code = 'unknown', message = '' } = Object(error) as { code?: unknown, message?: unknown }
    return { code: shorten(code), message: shorten(message) }
  } catch {
    return { code: 'unknown', message: '' }
  }
}

function shorten (value: unknown): string {
  return String(value).slice(0, LONGEST)
}
