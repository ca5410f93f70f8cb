import type { Connection, Transaction } from '@mikro-orm/core'
import type { PreparedCommit } from '../transaction/contracts.ts'

/** What a session's statements run in. */
export interface SessionTransactions {
  /** What the session holds as its transaction context when MikroORM has begun none of its own, if the scope commits. */
  readonly context: Transaction | undefined
  /** Whether the scope commits. Otherwise the session is plain MikroORM, whose `flush()` does. */
  readonly isAutomatic: boolean
  /** Whether the scope's transaction has begun, or is beginning. */
  readonly hasBegun: boolean
  /** Whether a statement runs or waits. */
  readonly isBusy: boolean
  /** Whether nothing has begun and nothing runs, so that it can be ended and closed without waiting. */
  readonly isAtRest: boolean
  /** Whether anything but plain reads has gone through. */
  readonly hasWritten: boolean
  readonly isClosed: boolean
  /** @throws ScopeClosedError once closed */
  assertOpen (): void
  /** Sends the BEGIN now. */
  begin (): Promise<void>
  /** Tells MikroORM's subscribers that a commit is to come; they may still send statements, or stop it by throwing. */
  announceCommit (): Promise<void> | undefined
  /** Makes ready to commit what has begun. After it the next statement begins anew. */
  prepareCommit (): Promise<PreparedCommit>
  /** Rolls back what has begun; the next statement begins anew. */
  rollback (): Promise<void>
  /** Whether a transaction that MikroORM has begun is over, because its COMMIT failed. */
  hasEnded (context: Transaction): boolean
  /** Makes the transaction fit for nothing but a rollback, because of `error`. */
  doom (error: unknown): void
  /** Whether it is. */
  readonly isDoomed: boolean
  /** Whether it has refused a statement since, because of that. */
  readonly hasRefused: boolean
  /** The outcome is there: rolls back what is still open and refuses all but plain reads, each by itself. Idempotent. At rest there is nothing to wait for. */
  end (outcome: string): Promise<unknown> | undefined
  /** Nobody waits any longer: a COMMIT that is not answered a while later is given up. */
  expire (): void
  /** Asks the server to stop what runs now. */
  cancel (): Promise<void>
  /** Refuses every further statement, then rolls back all that is open. Idempotent. At rest there is nothing to wait for. */
  close (): Promise<unknown> | undefined
  /** The session's view of a connection: transactions that MikroORM begins on it are known here, and closed with the rest. */
  guard (connection: Connection): Connection
}
