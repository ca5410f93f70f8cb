import type { IsolationLevel } from '@mikro-orm/core'
import type { ConnectionPool } from './connection-pool.ts'

// The package's declarations lead here, and must not lead to Kysely's: what does is internal.

/** How a transaction begins. */
export interface BeginOptions {
  readonly isolationLevel?: IsolationLevel | undefined
  readonly readOnly?: boolean | undefined
}

/** What a scope's rules mean for its transactions. */
export interface TransactionRules extends BeginOptions {
  /** @internal Where its connections come from. */
  readonly pool: ConnectionPool
  readonly mode: 'automatic' | 'manual'
  readonly begin: 'statement' | 'write'
}
