import { DeadlockException, LockWaitTimeoutException } from '@mikro-orm/core'
import type { SqlConnection } from './connection.ts'

/**
 * Whether the database has, or may have, rolled the transaction back together with the statement that failed. A server
 * does so after a deadlock, and after a lock wait timeout if it is set up that way; SQLite after `insert or rollback` or
 * when its disk is full, and it can be asked.
 */
export async function hasRolledBack (connection: SqlConnection, error: unknown): Promise<boolean> {
  const converted = connection.getPlatform().getExceptionConverter().convertException(error as Error)
  if (converted instanceof DeadlockException || converted instanceof LockWaitTimeoutException) return true
  return (await nativeClient(connection)).inTransaction === false
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
