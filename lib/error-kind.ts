import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, ForeignKeyConstraintViolationException, LockWaitTimeoutException,
  NotFoundError, NotNullConstraintViolationException, OptimisticLockError, UniqueConstraintViolationException
} from '@mikro-orm/core'
import { isDatabaseError } from './database-error.ts'
import { CommitUnknownError, PartlyCommittedError } from './errors.ts'

/**
 * What an error of a database, or of MikroORM, says has happened:
 * - `'connection'`: there is no connection, or it was lost; another one may do.
 * - `'access'`: the server was reached, and lets nobody in: wrong login, no such database.
 * - `'serialization'`: the transaction has met another one, and only a repetition of all of it can go through.
 * - `'lock timeout'`: it has waited too long for a lock, or was not willing to wait.
 */
export type ErrorKind = 'not found' | 'optimistic lock' | 'unique' | 'foreign key' | 'check' | 'not null' |
  'deadlock' | 'lock timeout' | 'serialization' | 'connection' | 'access'

/**
 * What kind of database error something is, whichever driver it comes from: one of MikroORM's exceptions, or a raw error of the
 * driver, as COMMIT and `em.getKysely()` throw; or an error that has such a one as its `cause`. Takes anything.
 * @returns undefined for everything else, and always when a COMMIT with unknown outcome, or one that was carried out in part, is among the causes
 *
 * @example
 * kindOf(new UniqueConstraintViolationException(error)) // 'unique'
 */
export function kindOf (error: unknown): ErrorKind | undefined {
  const chain = [...causesOf(error)]
  if (chain.some(({ code }) => IN_DOUBT.has(code))) return undefined
  return chain.map(kindOfOne).find(kind => kind !== undefined)
}

/** Whether the same work can go through when it is done once more from its beginning, in a new transaction. */
export function isTransient (error: unknown): boolean {
  const kind = kindOf(error)
  return kind !== undefined && TRANSIENT.has(kind)
}

const TRANSIENT = new Set<ErrorKind>(['deadlock', 'lock timeout', 'serialization', 'connection'])

/** The class is not enough: MikroORM makes a DriverException of it, with its code. */
const IN_DOUBT = new Set<unknown>([new CommitUnknownError().code, new PartlyCommittedError().code])

/** What drivers put into their errors. */
interface DriverError extends Error {
  /** Of Node, mysql2, better-sqlite3 and libsql a name; of pg a SQLSTATE. */
  readonly code?: unknown
  /** mysql2 and mariadb: the server's number. */
  readonly errno?: unknown
  readonly sqlState?: unknown
  /** pg: only what comes from the server has it. */
  readonly severity?: unknown
  /** node:sqlite, and libsql: SQLite's extended result code. */
  readonly errcode?: unknown
  readonly rawCode?: unknown
}

/** The error and what is behind it, the outermost first. */
function * causesOf (error: unknown, seen = new Set<unknown>()): Generator<DriverError> {
  if (!(error instanceof Error) || seen.has(error)) return
  seen.add(error)
  yield error
  yield * causesOf(error.cause, seen)
}

function kindOfOne (error: DriverError): ErrorKind | undefined {
  if (error instanceof NotFoundError) return 'not found'
  // Of the same class: "Cannot obtain optimistic lock on unversioned entity", which is a mistake in the code.
  if (error instanceof OptimisticLockError) return error.message.startsWith('Cannot') ? undefined : 'optimistic lock'
  return isDatabaseError(error) ? kindOfDatabaseError(error) : undefined
}

/** The codes come first: they say more than MikroORM's classes, which for SQLite it finds by words of the message. */
function kindOfDatabaseError (error: DriverError): ErrorKind | undefined {
  const { code, errno, sqlState, severity, errcode, rawCode } = error
  const state = typeof severity === 'string' ? code : sqlState
  return KINDS_OF_MYSQL.get(errno) ?? KINDS_OF_STATES.get(state) ?? KINDS_OF_SQLITE.get(code) ?? KINDS_OF_SQLITE.get(errcode ?? rawCode) ??
    kindOfClass(error) ?? (isLostConnection(error, state) ? 'connection' : isCertificationFailure(error) ? 'deadlock' : undefined)
}

/** Galera says 1213 of a certification that fails, or that COMMIT has met InnoDB's error 149, which is the same. */
function isCertificationFailure ({ errno, message }: DriverError): boolean {
  return errno === 1180 && /\b149\b/.test(message)
}

/** Numbers of MySQL's and MariaDB's errors. */
const KINDS_OF_MYSQL = new Map<unknown, ErrorKind>([
  [1062, 'unique'], [1169, 'unique'], [1586, 'unique'],
  [1216, 'foreign key'], [1217, 'foreign key'], [1451, 'foreign key'], [1452, 'foreign key'], [1557, 'foreign key'], [1761, 'foreign key'], [1762, 'foreign key'],
  [3819, 'check'], [4025, 'check'],
  [1048, 'not null'], [1364, 'not null'], [1566, 'not null'],
  [1213, 'deadlock'], [1614, 'deadlock'],
  [1205, 'lock timeout'], [3572, 'lock timeout'],
  // "Record has changed since last read", of a snapshot.
  [1020, 'serialization'],
  // Shutting down, too many connections, killed, not part of the cluster yet, idle for too long.
  [1053, 'connection'], [1040, 'connection'], [1927, 'connection'], [1047, 'connection'], [4031, 'connection'], [1152, 'connection'], [1184, 'connection'],
  [1044, 'access'], [1045, 'access'], [1049, 'access'], [1698, 'access'],
  // A privilege that is missing: MikroORM takes it for a connection that is.
  [1142, 'access'], [1143, 'access'], [1227, 'access'], [1370, 'access']
])

/** SQLSTATEs, as PostgreSQL uses them. */
const KINDS_OF_STATES = new Map<unknown, ErrorKind>([
  ['23505', 'unique'], ['23P01', 'unique'], ['23503', 'foreign key'], ['23001', 'foreign key'], ['23514', 'check'], ['23502', 'not null'],
  ['40P01', 'deadlock'], ['40001', 'serialization'], ['55P03', 'lock timeout'],
  ['57P01', 'connection'], ['57P02', 'connection'], ['57P03', 'connection'], ['53300', 'connection'],
  ['28000', 'access'], ['28P01', 'access'], ['3D000', 'access']
])

/** SQLite's extended result codes, by name and by number. */
const KINDS_OF_SQLITE = new Map<unknown, ErrorKind>([
  ['SQLITE_CONSTRAINT_UNIQUE', 'unique'], [2067, 'unique'], ['SQLITE_CONSTRAINT_PRIMARYKEY', 'unique'], [1555, 'unique'], ['SQLITE_CONSTRAINT_ROWID', 'unique'], [2579, 'unique'],
  ['SQLITE_CONSTRAINT_FOREIGNKEY', 'foreign key'], [787, 'foreign key'],
  ['SQLITE_CONSTRAINT_CHECK', 'check'], [275, 'check'],
  ['SQLITE_CONSTRAINT_NOTNULL', 'not null'], [1299, 'not null'],
  ['SQLITE_BUSY', 'lock timeout'], [5, 'lock timeout'], ['SQLITE_BUSY_TIMEOUT', 'lock timeout'], [773, 'lock timeout'], ['SQLITE_LOCKED', 'lock timeout'], [6, 'lock timeout'],
  ['SQLITE_LOCKED_SHAREDCACHE', 'lock timeout'], [262, 'lock timeout'], ['SQLITE_BUSY_SNAPSHOT', 'serialization'], [517, 'serialization']
])

/** MikroORM's classes, for drivers whose codes are not known here. */
const CLASSES = [
  [UniqueConstraintViolationException, 'unique'],
  [ForeignKeyConstraintViolationException, 'foreign key'],
  [CheckConstraintViolationException, 'check'],
  [NotNullConstraintViolationException, 'not null'],
  [DeadlockException, 'deadlock'],
  [LockWaitTimeoutException, 'lock timeout'],
  [ConnectionException, 'connection']
] as const

function kindOfClass (error: Error): ErrorKind | undefined {
  return CLASSES.find(([exception]) => error instanceof exception)?.[1]
}

/** What mysql2 and pg say of a connection that they know to be lost. */
const LOST = /^(?:Can't add new command when connection is in closed state|Connection terminated|Client has encountered a connection error|Client was closed)/

/** Codes of drivers and of Node's sockets. A login that is refused has a number, and is none of these. */
const LOST_CODES = /^(?:PROTOCOL_CONNECTION_LOST|PROTOCOL_SEQUENCE_TIMEOUT|E(?:CONNREFUSED|CONNRESET|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN|SOCKET))$/

/** Class 08 of the SQLSTATEs is about connections. */
function isLostConnection ({ message, code }: DriverError, state: unknown): boolean {
  return LOST.test(message) || (typeof code === 'string' && LOST_CODES.test(code)) || (typeof state === 'string' && /^08/.test(state))
}
