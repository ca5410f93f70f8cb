/** Errors of drivers as they come from connections and their pool: MikroORM does not turn those from COMMIT or `em.getKysely()` into its exceptions. */
const raw = new WeakSet<object>()

/** Remembers that an error came from a driver, and gives it back. */
export function driverError<T> (error: T): T {
  if (error instanceof Error) raw.add(error)
  return error
}

/** Whether an error came from a driver as it is: its message may hold SQL, values and names of the schema. */
export function isDriverError (error: unknown): error is Error {
  return error instanceof Error && !isOwnError(error) && (raw.has(error) || looksRaw(error))
}

const NAMES = new Set(['SqliteError', 'LibsqlError'])

/** The codes of pg, beside a severity: those of the SQL standard. */
const SQLSTATE = /^[0-9A-Z]{5}$/

/** The codes of mysql2 and mariadb, beside `fatal`: their own, the server's, and those of Node's sockets. */
const CONNECTION = /^(?:PROTOCOL_|HANDSHAKE_|AUTH_|ER_|ERR_|EAI_|E[A-Z]+$)/

/** node:sqlite's, and those of tedious that tell of a statement, a user or a server. */
const CODES = new Set<unknown>(['ERR_SQLITE_ERROR', 'EREQUEST', 'ELOGIN', 'ESOCKET', 'EINSTLOOKUP'])

/** The number that every message of oracledb begins with. */
const ORACLE = /^(?:ORA|NJS|DPI)-\d/

/** Errors of drivers that were used without a session. */
function looksRaw (error: Error): boolean {
  const { name, message, code } = error as Error & { code?: unknown }
  return NAMES.has(name) || name.startsWith('Mongo') || CODES.has(code) || ORACLE.test(message) || isMarked(error)
}

/** Applications have severities and fatal errors too: only together with a driver's codes do they mean a database. */
function isMarked (error: Error): boolean {
  const { code, errno, sqlState, fatal, severity } = error as Error & Partial<Record<string, unknown>>
  if (typeof sqlState === 'string') return true
  if (typeof severity === 'string' && isCode(code, SQLSTATE)) return true
  return typeof fatal === 'boolean' && (typeof errno === 'number' || isCode(code, CONNECTION))
}

function isCode (code: unknown, codes: RegExp): boolean {
  return typeof code === 'string' && codes.test(code)
}

/** MikroORM makes a DriverException of whatever is thrown while it executes a statement, this package's errors too. */
export function isOwnError (error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('FST_SCOPED_DB_')
}
