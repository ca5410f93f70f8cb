import { causesOf } from '../errors/causes.ts'
import { errorKindOfCode, isRefusal, NEVER_SENT, type DriverCodes, type ErrorKind } from '../errors/driver-codes.ts'
import { driverError, isDriverError } from '../errors/driver-error.ts'
import { CommitUnknownError, RollbackOnlyError } from '../errors/errors.ts'
import type { SqlConnection } from './sql-connection.ts'

/**
 * What to throw when COMMIT has failed with `error`: that error, if it is certain that nothing was committed; when in
 * doubt a CommitUnknownError.
 * @param isEmbedded whether the database is in this process: it always knows
 */
export function commitError (error: unknown, isEmbedded: boolean): unknown {
  const failure: DriverCodes = error instanceof Error ? error : new Error()
  if (isEmbedded || NEVER_SENT.has(failure.message) || isRefusal(failure)) return driverError(error)
  return Object.assign(new CommitUnknownError(), { cause: error })
}

/**
 * Whether the database has, or may have, rolled the transaction back together with the statement that failed. A server
 * does so after a deadlock or a serialization failure, and after a lock wait timeout if it is set up that way; SQLite after
 * `insert or rollback` or when its disk is full, and it can be asked.
 */
export async function hasRolledBack (connection: SqlConnection, error: unknown): Promise<boolean> {
  if ([...causesOf(error)].some(cause => isDriverError(cause) && ROLLED_BACK.has(errorKindOfCode(cause)))) return true
  return (await nativeClient(connection)).inTransaction === false
}

const ROLLED_BACK = new Set<ErrorKind | undefined>(['deadlock', 'lock timeout', 'serialization'])

/** better-sqlite3 and libsql know whether they are in a transaction; pools of connections do not. */
async function nativeClient (connection: SqlConnection): Promise<{ inTransaction?: unknown }> {
  try {
    return await connection.getNativeClient() as { inTransaction?: unknown }
  } catch {
    // The application brought a Kysely of its own.
    return {}
  }
}

/** What to throw where only a rollback is left, because of `cause`. */
export function rollbackOnly (cause: unknown): Error {
  return cause instanceof RollbackOnlyError ? cause : Object.assign(new RollbackOnlyError('its transaction has failed'), { cause })
}
