/** One line about an error. Node's network errors can have an empty message, and then have a code. */
export function explain (error: unknown): string {
  const { message, code, name } = error as NodeJS.ErrnoException
  const [line] = message.trim().split('\n')
  return line || code || name
}
