import type { Driver, TransactionStatus } from './contracts.ts'

/** SQLite, by way of better-sqlite3, node:sqlite or libsql. */
export const SQLITE: Driver = {
  adapters: ['SqliteAdapter'],
  isEmbedded: true,
  rollsBackWith: new Set(['deadlock', 'lock timeout', 'serialization', 'connection']),
  physical: () => undefined,
  nativeStatus,
  failsTransaction: () => false
}

function nativeStatus (client: unknown): TransactionStatus | undefined {
  const { inTransaction } = Object(client) as { inTransaction?: unknown }
  return typeof inTransaction === 'boolean' ? (inTransaction ? 'open' : 'none') : undefined
}
