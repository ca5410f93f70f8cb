import type { DatabaseConnection } from 'kysely'
import type { ErrorKind } from '../errors/driver-codes.ts'

/** Whether a connection is in a transaction. In one that is `failed` nothing but a rollback goes through, of all or to a savepoint. */
export type TransactionStatus = 'none' | 'open' | 'failed'

/** What is behind a connection of Kysely's pool, where the driver lets one reach it. */
export interface PhysicalConnection {
  /** What the server has said last. Undefined as long as it has said nothing. */
  readonly status: TransactionStatus | undefined
  /** Closes it at once, without asking the server. What waits for it fails. */
  close (): void
  /** Calls `listener` once, when it has ended, whoever has ended it. */
  onEnd (listener: () => void): void
}

/** What has to be known of one database, and of its driver, beyond what Kysely and MikroORM tell. */
export interface Driver {
  /** The names of Kysely's adapters for it. */
  readonly adapters: readonly string[]
  /** Whether it is in this process: COMMIT tells for certain whether it was carried out, and no server can be lost. */
  readonly isEmbedded: boolean
  /** The kinds of errors with which it rolls the transaction back, or may, so that what came next would be committed by itself. */
  readonly rollsBackWith: ReadonlySet<ErrorKind>
  /** Gives nothing where it cannot be reached. */
  physical (connection: DatabaseConnection): PhysicalConnection | undefined
  /** What the native client of MikroORM's connection says, if that is one connection and knows. */
  nativeStatus (client: unknown): TransactionStatus | undefined
  /** Whether a transaction in which `error` came up is `failed` by that. Asked only where there is no status. */
  failsTransaction (error: unknown): boolean
}
