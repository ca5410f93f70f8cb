/**
 * Every error this package makes, as `@fastify/error` classes with codes `FST_SCOPED_DB_*`.
 * docs/errors.md lists each with its cause and its cure. No message holds SQL or anything from a database, but for the
 * text in that of RepeatedStatementError, without values: it is for tests.
 */
import createError from '@fastify/error'

export const InvalidOptionError = createError<[option: string, takes: string, got: string]>(
  'FST_SCOPED_DB_INVALID_OPTION', 'fastify-scoped-db: %s takes %s, got %s', 500, TypeError)

export const UnknownOptionError = createError<[option: string, known: string]>(
  'FST_SCOPED_DB_UNKNOWN_OPTION', 'fastify-scoped-db: there is no option %s, only %s', 500, TypeError)

export const OrmNotFoundError = createError<[places: string]>(
  'FST_SCOPED_DB_ORM_NOT_FOUND',
  'fastify-scoped-db: no "orm" option was given and no MikroORM config file was found. Looked at: %s. ' +
  'Pass register(scopedDb, { orm }) a MikroORM instance or its options, or add one of these files')

export const ConfigFileError = createError<[file: string, problem: string]>(
  'FST_SCOPED_DB_CONFIG_FILE', 'fastify-scoped-db: the MikroORM config file %s cannot be used: %s')

export const CannotConnectError = createError<[name: string, why: string]>(
  'FST_SCOPED_DB_CANNOT_CONNECT', 'fastify-scoped-db: the database "%s" %s')

export const AlreadyRegisteredError = createError<[name: string]>(
  'FST_SCOPED_DB_ALREADY_REGISTERED',
  'fastify-scoped-db: a database named "%s" is registered already. Register each once, under a name of its own')

export const OrmInUseError = createError<[name: string, other: string]>(
  'FST_SCOPED_DB_ORM_IN_USE',
  'fastify-scoped-db: the MikroORM given for "%s" is that of "%s" already. Each database needs a MikroORM of its own')

export const UnknownDatabaseError = createError<[name: string, known: string]>(
  'FST_SCOPED_DB_UNKNOWN_DATABASE',
  'fastify-scoped-db: no database named "%s" is registered, only: %s')

export const NotRegisteredError = createError<[]>(
  'FST_SCOPED_DB_NOT_REGISTERED',
  'fastify-scoped-db: no database is registered. Call app.register(scopedDb, { orm }) and wait for app.ready() first')

export const AmbiguousError = createError<[count: number]>(
  'FST_SCOPED_DB_AMBIGUOUS',
  'fastify-scoped-db: %s databases are registered in this process and no scope is current. Use fastify.db of the application that you mean')

export const NoScopeError = createError<[]>(
  'FST_SCOPED_DB_NO_SCOPE',
  'fastify-scoped-db: no scope is current, so there is no session. Outside a request, and on a route with db: false, use db.run(fn)')

export const ScopeClosedError = createError<[why: string]>(
  'FST_SCOPED_DB_SCOPE_CLOSED',
  'fastify-scoped-db: %s. Nothing more can be written with this session. Work that outlives its request belongs in db.run(fn)')

const WHY_LATE = 'Most likely something was not awaited, or has gone on after a timeout'

/** The error for what comes too late for a scope. */
export function scopeIs (state: string): Error {
  return new ScopeClosedError(`this scope is ${state}. ${WHY_LATE}`)
}

/** The error for what comes too late for a transaction inside a scope. */
export function transactionIsOver (): Error {
  return new ScopeClosedError(`this em.transactional() is over. ${WHY_LATE}`)
}

export const RollbackOnlyError = createError<[why: string]>(
  'FST_SCOPED_DB_ROLLBACK_ONLY', 'fastify-scoped-db: %s, so this scope can only roll back')

export const FlushInterruptedError = createError<[by: string]>(
  'FST_SCOPED_DB_FLUSH_INTERRUPTED', 'fastify-scoped-db: %s came while this session was flushing, so it has forgotten what it was writing')

export const InsideTransactionError = createError<[what: string]>(
  'FST_SCOPED_DB_INSIDE_TRANSACTION',
  'fastify-scoped-db: %s inside an em.transactional() of the same session, which has only half been done. Wait for it first')

export const EndlessFlushError = createError<[flushes: number]>(
  'FST_SCOPED_DB_ENDLESS_FLUSH',
  'fastify-scoped-db: after %s flushes there is still something to flush. Most likely a subscriber changes something with every flush')

export const ReadOnlyError = createError<[]>(
  'FST_SCOPED_DB_READ_ONLY', 'fastify-scoped-db: this scope is read only (readOnly: true) and refused to send a statement that writes')

export const RepeatedStatementError = createError<[count: number, place: string, statement: string]>(
  'FST_SCOPED_DB_REPEATED_STATEMENT',
  "fastify-scoped-db: the same SELECT was to be sent for the %sth time in this scope, from %s (N+1): load all at once, with populate or MikroORM's dataloader: %s")

export const OpenStreamError = createError<[]>(
  'FST_SCOPED_DB_OPEN_STREAM',
  'fastify-scoped-db: a query stream has the connection of this transaction. Read it to its end before the next statement and before the reply, or start it only when the reply streams')

export const GivenConnectionError = createError<[]>(
  'FST_SCOPED_DB_GIVEN_CONNECTION',
  'fastify-scoped-db: the connection of this transaction was given to a callback of connection().execute(), which would wait for itself. Send the statement on what the callback was given')

export const CommitUnknownError = createError<[]>(
  'FST_SCOPED_DB_COMMIT_UNKNOWN',
  'fastify-scoped-db: COMMIT was sent, and the connection was lost or the answer was not clear, so it is not known whether the transaction is in the database')

export const PartlyCommittedError = createError<[]>(
  'FST_SCOPED_DB_PARTLY_COMMITTED',
  'fastify-scoped-db: one database has refused its COMMIT after another had carried out its own, so this unit of work is in some of its databases and not in others')

export const InvalidPageError = createError<[name: string, what: string]>('FST_SCOPED_DB_INVALID_PAGE', '%s must be %s', 400)

export const InvalidCursorError = createError<[name: string]>('FST_SCOPED_DB_INVALID_CURSOR', '%s is not a cursor of this list', 400)

const AcquireTimeout = createError<[milliseconds: number]>(
  'FST_SCOPED_DB_ACQUIRE_TIMEOUT', 'fastify-scoped-db: no pooled connection became free within %s ms', 503)

/** A 503 that asks the client to come back in a second. */
export class AcquireTimeoutError extends AcquireTimeout {
  readonly headers = { 'retry-after': '1' }
}

export const NotFoundError = createError<[description: string]>('FST_SCOPED_DB_NOT_FOUND', '%s', 404)

export const ConflictError = createError<[]>('FST_SCOPED_DB_CONFLICT', 'This conflicts with what is there already', 409)

export const StaleError = createError<[]>('FST_SCOPED_DB_STALE', 'Somebody else has changed this meanwhile', 409)

export const InvalidDataError = createError<[]>('FST_SCOPED_DB_INVALID_DATA', 'Something is missing, or is not allowed', 422)

const Busy = createError<[]>('FST_SCOPED_DB_BUSY', 'Somebody else is working on the same: try again in a moment', 503)

/** A 503 that asks the client to come back in a second. */
export class BusyError extends Busy {
  readonly headers = { 'retry-after': '1' }
}

const Unavailable = createError<[]>('FST_SCOPED_DB_UNAVAILABLE', 'The database is out of reach: try again in a moment', 503)

/** A 503 that asks the client to come back in a second. */
export class UnavailableError extends Unavailable {
  readonly headers = { 'retry-after': '1' }
}

const RetriesExhausted = createError<[attempts: number]>(
  'FST_SCOPED_DB_RETRIES_EXHAUSTED', 'fastify-scoped-db: the database was too busy for this in each of %s attempts', 503)

/** A 503 that asks the client to come back in a second. */
export class RetriesExhaustedError extends RetriesExhausted {
  readonly headers = { 'retry-after': '1' }
}

export const CannotIsolateError = createError<[name: string, why: string]>(
  'FST_SCOPED_DB_CANNOT_ISOLATE', 'fastify-scoped-db: the database "%s" cannot be isolated: %s')

export const IsolationLostError = createError<[why: string]>(
  'FST_SCOPED_DB_ISOLATION_LOST',
  'fastify-scoped-db: the outer transaction of isolate() is lost (%s). What was written meanwhile may still be in the database')

export const IsolationReleasedError = createError<[]>(
  'FST_SCOPED_DB_ISOLATION_RELEASED', 'fastify-scoped-db: this began before the release() of isolate() and went on after it')

export const InspectorInProductionError = createError<[]>(
  'FST_SCOPED_DB_INSPECTOR_IN_PRODUCTION',
  'fastify-scoped-db: the inspector shows statements and their values, and NODE_ENV is production. Register it elsewhere only, or say with its option "allow" who may see it')

export const InspectorRefusedError = createError<[why: string]>(
  'FST_SCOPED_DB_INSPECTOR_REFUSED', 'fastify-scoped-db: the inspector does not answer: %s', 403)
