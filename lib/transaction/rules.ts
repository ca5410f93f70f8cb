import type { IsolationLevel } from '@mikro-orm/core'

// The package's declarations lead here, and must not lead to Kysely's.

/** How a transaction begins. */
export interface BeginOptions {
  readonly isolationLevel?: IsolationLevel | undefined
  readonly readOnly?: boolean | undefined
}

/** What a scope's rules mean for its transactions. */
export interface TransactionRules extends BeginOptions {
  readonly mode: 'automatic' | 'manual'
  readonly begin: 'statement' | 'write'
  /** Milliseconds to wait for a pooled connection. */
  readonly acquireTimeout: number
}

/** What a COMMIT waits for. Asked only if there is something to commit. */
export type Ready = () => Promise<unknown>
