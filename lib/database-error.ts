import { DriverException } from '@mikro-orm/core'

/** Raw driver errors, from COMMIT or from `em.getKysely()`: MikroORM does not turn these into its exceptions. */
const raw = new WeakSet<object>()

/** Remembers that an error came from the database, and gives it back. */
export function databaseError<T> (error: T): T {
  if (error instanceof Error) raw.add(error)
  return error
}

/** Whether an error came from the database, so that its message may hold SQL, values and names of the schema. */
export function isDatabaseError (error: unknown): error is Error {
  if (!(error instanceof Error) || isOwnError(error)) return false
  return error instanceof DriverException || raw.has(error) || 'sqlState' in error || error.name === 'SqliteError'
}

/** MikroORM makes a DriverException of whatever is thrown while it executes a statement, this package's errors too. */
function isOwnError (error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('FST_SCOPED_DB_')
}
