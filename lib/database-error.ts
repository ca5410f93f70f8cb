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
  return error instanceof DriverException || raw.has(error) || looksRaw(error)
}

/** Whether the message holds what a database said: its own, or that of a cause which it repeats. */
export function tellsOfDatabase (error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { message } = error
  return isDatabaseError(error) || causesOf(error).some(cause => isDatabaseError(cause) && cause.message !== '' && message.includes(cause.message))
}

const NAMES = new Set(['SqliteError', 'LibsqlError'])

/** What only errors of mysql2, mariadb and pg have: of the server, and of the connection to it. */
const MARKS = ['sqlState', 'fatal', 'severity']

/** node:sqlite's, and those of tedious that tell of a statement, a user or a server. */
const CODES = new Set<unknown>(['ERR_SQLITE_ERROR', 'EREQUEST', 'ELOGIN', 'ESOCKET', 'EINSTLOOKUP'])

/** The number that every message of oracledb begins with. */
const ORACLE = /^(?:ORA|NJS|DPI)-\d/

/** Errors of drivers that were used without a session. */
function looksRaw (error: Error): boolean {
  const { name, message, code } = error as Error & { code?: unknown }
  return NAMES.has(name) || name.startsWith('Mongo') || CODES.has(code) || ORACLE.test(message) || MARKS.some(mark => mark in error)
}

/** All that is behind an error. */
function causesOf (error: Error, found = new Set<unknown>()): unknown[] {
  const { cause, errors } = error as { cause?: unknown, errors?: unknown }
  for (const behind of [cause, ...Array.isArray(errors) ? errors as unknown[] : []]) {
    if (found.has(behind)) continue
    found.add(behind)
    if (behind instanceof Error) causesOf(behind, found)
  }
  return [...found]
}

/** MikroORM makes a DriverException of whatever is thrown while it executes a statement, this package's errors too. */
function isOwnError (error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('FST_SCOPED_DB_')
}
