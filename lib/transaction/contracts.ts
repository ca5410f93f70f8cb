import type { IsolationLevel } from '@mikro-orm/core'
import type { Loans } from './loans.ts'
import type { Patience } from './acquire-timeout.ts'

// The package's declarations lead here, and must not lead to Kysely's.

/** How a transaction begins. */
export interface BeginOptions {
  readonly isolationLevel?: IsolationLevel | undefined
  readonly readOnly?: boolean | undefined
}

/** How connections are taken from the pool. */
export interface PoolRules {
  /** How long to wait for a pooled connection. */
  readonly patience: Patience
  /** What all scopes of the database have taken. */
  readonly loans: Loans
}

/** What a scope's rules mean for its transactions. */
export interface TransactionRules extends BeginOptions, PoolRules {
  readonly mode: 'automatic' | 'manual'
  readonly begin: 'statement' | 'write'
}
