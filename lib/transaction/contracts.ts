import type { Origin } from '../diagnostics/messages.ts'
import type { BeginOptions } from './begin-options.ts'
import type { ConnectionPool } from './connection-pool.ts'
import type { ConnectionSource } from './connection-source.ts'
import type { StatementUsage } from './usage.ts'

// The package's declarations lead here, and must not lead to Kysely's: what does is internal.

/** What a scope's settings mean for its transactions. */
export interface TransactionSettings extends BeginOptions {
  /** @internal Where its connections come from. */
  readonly pool: ConnectionPool
  /** @internal Which of several servers it is on: without, it is the primary, and MikroORM chooses for what is in no transaction. */
  readonly source?: ConnectionSource | undefined
  /** Is told the position of each commit that has written. */
  readonly committed?: ((position: string) => void) | undefined
  readonly mode: 'automatic' | 'manual'
  readonly begin: 'statement' | 'write'
  /** Whether BEGIN may travel with the first statement. */
  readonly beginWithFirst: boolean
  /** Whether it begins with the first write for now, whatever `begin` says: a connection is not to be held for as long as an upload takes. */
  readonly awaitsBody?: (() => boolean) | undefined
}

/** The same for the session of one scope. */
export interface SessionTransactionSettings extends TransactionSettings {
  readonly origin: Origin
  /** Counts its statements, if anybody wants to know. */
  readonly usage: StatementUsage | undefined
}

/** What a COMMIT waits for. Asked only if there is something to commit. */
export type Ready = () => Promise<unknown>

/** A commit of which nothing is left to be found out but what the database says to COMMIT. No statement gets through until it is released. */
export interface PreparedCommit {
  /** Whether there is a transaction. Otherwise nothing is sent. */
  readonly hasBegun: boolean
  /** Resolves when a statement waits. Asked only if there is a transaction. */
  hasWaiter (): Promise<void>
  /**
   * Sends COMMIT.
   * @param outcome given, it is the last: from here on the transaction has ended, and only plain reads come after it
   * @throws what the database says when it refuses; it is then rolled back
   */
  commit (outcome?: string): Promise<void>
  /** Lets statements through again. */
  release (): void
  /** Tells MikroORM's subscribers that it is committed. */
  announceDone (): Promise<void> | undefined
}
