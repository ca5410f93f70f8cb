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
 * does so after a deadlock or a serialization failure, after a lock wait timeout if it is set up that way, and in other distress, such as a
 * full lock table; SQLite after `insert or rollback` or when its disk is full. Whoever can be asked is asked.
 */
export async function hasRolledBack (connection: SqlConnection, error: unknown, transaction: AskedTransaction): Promise<boolean> {
  const kinds = [...causesOf(error)].filter(isDriverError).map(errorKindOfCode)
  if (kinds.some(kind => ROLLED_BACK.has(kind))) return true
  const { inTransaction } = await nativeClient(connection)
  if (typeof inTransaction === 'boolean') return !inTransaction
  // What did not come from the database says nothing of it, and a statement may still be running there.
  if (kinds.length === 0 || kinds.some(kind => OF_THE_STATEMENT.has(kind))) return false
  return !await transaction.isOpen()
}

interface AskedTransaction {
  isOpen (): Promise<boolean>
}

/** With a lost connection, too; and one whose query has timed out would answer nothing before that. */
const ROLLED_BACK = new Set<ErrorKind | undefined>(['deadlock', 'lock timeout', 'serialization', 'connection'])

/** What a database takes for the failure of one statement. */
const OF_THE_STATEMENT = new Set<ErrorKind | undefined>(['unique', 'foreign key', 'check', 'not null', 'privilege'])

/** PostgreSQL's: a statement has failed, and nothing but a rollback, of all or to a savepoint, goes through. Nothing has ended. */
const IN_FAILED_TRANSACTION = '25P02'

export function isAborted (error: unknown): boolean {
  return (error as { code?: unknown }).code === IN_FAILED_TRANSACTION
}

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
