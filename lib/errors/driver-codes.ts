/**
 * What the error codes of the databases and of their drivers mean. In doubt a code is not here: the kind of an error decides
 * whether work is done again.
 */

/**
 * What has happened, of the same name in every database:
 * - `'lock timeout'`: it has waited too long for a lock, or was not to wait;
 * - `'serialization'`: it met another transaction, and has to be done again as a whole;
 * - `'interrupted'`: the server has stopped it: a time limit of its own, or a kill;
 * - `'connection'`: none could be made, or it was lost; another one may do;
 * - `'read only'`: the server has become read-only, as after a failover; another connection may lead to one that is not;
 * - `'access'`: the server lets nobody in: wrong login, no such database;
 * - `'privilege'`: the user may not do that.
 */
export type ErrorKind = 'not found' | 'optimistic lock' | 'unique' | 'foreign key' | 'check' | 'not null' |
  'deadlock' | 'lock timeout' | 'serialization' | 'interrupted' | 'connection' | 'read only' | 'access' | 'privilege'

/** What drivers put into their errors. */
export interface DriverCodes {
  readonly message: string
  /** A name: Node's, mysql2's, better-sqlite3's. Of pg a SQLSTATE. */
  readonly code?: unknown
  /** mysql2: the number that the server gives. */
  readonly errno?: unknown
  readonly sqlState?: unknown
  /** mysql2, mariadb: what the server has said, and nothing else. */
  readonly sqlMessage?: unknown
  /** pg: only errors of the server have it, in the language of its locale. */
  readonly severity?: unknown
  /** Whether the connection has ended with it. */
  readonly fatal?: unknown
  /** node:sqlite: SQLite's extended result code. */
  readonly errcode?: unknown
  /** libsql: the same. */
  readonly rawCode?: unknown
}

export function errorKindOfCode (error: DriverCodes): ErrorKind | undefined {
  const { message, code, errno, sqlState, sqlMessage, severity, errcode, rawCode } = error
  const said = String(sqlMessage ?? message)
  if (errno === ERROR_DURING_COMMIT) return CERTIFICATION_FAILED.test(said) ? 'deadlock' : undefined
  if (errno === OPTION_PREVENTS) return /read[-_]only/.test(said) ? 'read only' : undefined
  return MYSQL.get(errno) ?? errorKindOfState(severity === undefined ? sqlState : code) ??
    SQLITE.get(errcode ?? rawCode) ?? SQLITE.get(code) ?? (LOST_CODES.has(code) || LOST_MESSAGES.has(message) ? 'connection' : undefined)
}

/** Of MySQL and MariaDB. Galera says so when the certification fails, with the storage engine's reason in the message. */
const ERROR_DURING_COMMIT = 1180

/** The first number in the message, which comes in the language of the server. */
const CERTIFICATION_FAILED = /^\D*\b149\b/

/** The server was started with an option that forbids it, which the message names. */
const OPTION_PREVENTS = 1290

/** What databases say, also to COMMIT, when they have not done what was asked. */
const REFUSALS = new Set<ErrorKind | undefined>(['unique', 'foreign key', 'check', 'not null', 'deadlock', 'lock timeout', 'serialization', 'read only'])

/** "Transaction rollback", in all databases, but "statement completion unknown". */
const ROLLBACK_STATE = /^40(?!003)[0-9A-Z]{3}$/

/** The classes of the SQLSTATEs with which PostgreSQL refuses a COMMIT besides: what checks and triggers say that were deferred until then. */
const DEFERRED_STATE = /^(?:22|23|42|44|P0)[0-9A-Z]{3}$/

/** Whether an error of COMMIT is known to mean that it was refused, and is rolled back. Whatever is not here may be committed. */
export function isRefusal (error: DriverCodes): boolean {
  const { code, sqlState, severity, fatal } = error
  if (fatal === true) return false
  if (REFUSALS.has(errorKindOfCode(error)) || ROLLBACK_STATE.test(String(severity === undefined ? sqlState : code))) return true
  return severity !== undefined && DEFERRED_STATE.test(String(code))
}

/** The numbers of MySQL and MariaDB. */
const MYSQL = byKey({
  unique: [1062, 1169, 1557, 1569, 1586],
  'foreign key': [1216, 1217, 1451, 1452, 1701, 1761, 1762],
  check: [3819, 4025],
  'not null': [1048, 1263, 1364, 1566],
  // The last is a lock table that is full, after which InnoDB rolls back as well.
  deadlock: [1213, 1614, 1206],
  // The second is MySQL's for NOWAIT.
  'lock timeout': [1205, 3572],
  // MariaDB: a row has changed since the snapshot was taken. MySQL's Group Replication: the certification has failed.
  serialization: [1020, 3101],
  // KILL QUERY; the time limits of MariaDB and of MySQL.
  interrupted: [1317, 1969, 3024],
  // Too many connections, shut down, not ready (Galera), killed, idle for too long, and what client libraries say.
  connection: [1040, 1203, 1053, 1184, 1047, 1927, 4031, 2002, 2003, 2005, 2006, 2013],
  'read only': [1836],
  access: [1044, 1045, 1049, 1698],
  privilege: [1095, 1142, 1143, 1227, 1370]
})

/** Whether an error says that a connection is of no use any more, or that none could be made, whatever was asked of it. */
export function isAboutConnection (error: unknown): error is Error {
  return error instanceof Error && ABOUT_CONNECTION.has(errorKindOfCode(error))
}

const ABOUT_CONNECTION = new Set<ErrorKind | undefined>(['connection', 'read only'])

/** SQLSTATEs: of the SQL standard, and PostgreSQL's. */
const STATES = byKey({
  unique: ['23505', '23P01'],
  'foreign key': ['23503', '23001'],
  check: ['23514'],
  'not null': ['23502'],
  deadlock: ['40P01'],
  'lock timeout': ['55P03'],
  serialization: ['40001'],
  interrupted: ['57014'],
  // Too many connections, shut down, crashed, not ready, idle for too long (the session, then the transaction), a transaction that took too long.
  connection: ['53300', '57P01', '57P02', '57P03', '57P05', '25P03', '25P04'],
  'read only': ['25006'],
  access: ['28000', '28P01', '3D000'],
  privilege: ['42501']
})

/** Class 08 is "connection exception", of which 08007 is "transaction resolution unknown". */
const CONNECTION_STATE = /^08(?!007)...$/

function errorKindOfState (state: unknown): ErrorKind | undefined {
  return STATES.get(state) ?? (CONNECTION_STATE.test(String(state)) ? 'connection' : undefined)
}

/** SQLite's extended result codes, by number and by name. A snapshot that is too old to write in can only be taken anew. */
const SQLITE = byKey({
  unique: [2067, 'SQLITE_CONSTRAINT_UNIQUE', 1555, 'SQLITE_CONSTRAINT_PRIMARYKEY', 2579, 'SQLITE_CONSTRAINT_ROWID'],
  'foreign key': [787, 'SQLITE_CONSTRAINT_FOREIGNKEY'],
  check: [275, 'SQLITE_CONSTRAINT_CHECK'],
  'not null': [1299, 'SQLITE_CONSTRAINT_NOTNULL'],
  'lock timeout': [
    5, 'SQLITE_BUSY', 261, 'SQLITE_BUSY_RECOVERY', 773, 'SQLITE_BUSY_TIMEOUT',
    6, 'SQLITE_LOCKED', 262, 'SQLITE_LOCKED_SHAREDCACHE', 518, 'SQLITE_LOCKED_VTAB'
  ],
  serialization: [517, 'SQLITE_BUSY_SNAPSHOT'],
  access: [14, 'SQLITE_CANTOPEN']
})

/** Codes of Node's sockets, of tedious and of mysql2. */
const LOST_CODES = new Set<unknown>([
  'ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ESOCKET',
  'PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'
])

/** What drivers say of a connection that they knew to be closed before the statement: mysql2's words, then those of pg. */
export const NEVER_SENT: ReadonlySet<string> = new Set([
  "Can't add new command when connection is in closed state",
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable'
])

/** Errors without a code: mysql2's, then those of pg. */
const LOST_MESSAGES = new Set([
  ...NEVER_SENT,
  "Can't write in closed state",
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'timeout exceeded when trying to connect'
])

function byKey (kinds: Partial<Record<ErrorKind, readonly (string | number)[]>>): ReadonlyMap<unknown, ErrorKind> {
  return new Map(Object.entries(kinds).flatMap(([kind, keys]) => keys.map(key => [key, kind as ErrorKind] as const)))
}
