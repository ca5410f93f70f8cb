import type { Connection, Platform, SessionContext, Transaction } from '@mikro-orm/core'
import type { Kysely } from 'kysely'
import type { BeginOptions } from './begin-options.ts'

/** What a transaction needs of MikroORM's `AbstractSqlConnection`; the package does not depend on a SQL driver. */
export interface SqlConnection extends Connection {
  getClient (): Kysely<unknown>
  initClient (): Promise<void>
  stream (query: string, params?: unknown[], ctx?: Transaction, ...rest: unknown[]): AsyncIterableIterator<unknown>
  getPlatform (): SqlPlatform
  /** Has a transaction that has just begun see the variables and the role of a session (row level security). */
  applySessionContext (trx: Transaction, context: SessionContext): Promise<void>
}

/** How transactions are written in a database's SQL. */
export interface SqlPlatform extends Platform {
  getBeginTransactionSQL (options: BeginOptions): string[]
  getCommitTransactionSQL (): string
  getRollbackTransactionSQL (): string
  getSavepointSQL (name: string): string
  getReleaseSavepointSQL (name: string): string
  getRollbackToSavepointSQL (name: string): string
}

/** Whether a connection speaks SQL through Kysely, so that a transaction can be begun lazily on it. */
export function isSqlConnection (connection: Connection): connection is SqlConnection {
  return 'getClient' in connection && 'initClient' in connection
}

/** What the driver has for it, where that can be reached: an application can bring a Kysely of its own. */
export async function nativeClient (connection: SqlConnection): Promise<unknown> {
  try {
    return await connection.getNativeClient()
  } catch {
    return undefined
  }
}
