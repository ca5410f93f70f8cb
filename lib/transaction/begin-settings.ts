import type { SessionContext, Transaction, TransactionEventType } from '@mikro-orm/core'
import type { Origin } from '../diagnostics/messages.ts'
import type { Destination } from '../drivers/contracts.ts'
import type { BeginOptions } from './begin-options.ts'
import type { ConnectionPool } from './connection-pool.ts'
import type { ConnectionSource } from './connection-source.ts'
import type { SqlConnection } from './sql-connection.ts'

/** What MikroORM's subscribers are told of, by its name there. */
export type TransactionEvent = `${TransactionEventType}`

/** What is needed to begin a transaction. */
export interface BeginSettings extends BeginOptions {
  readonly connection: SqlConnection
  /** Given, it says which connection that is. */
  readonly source?: ConnectionSource | undefined
  /** Is told the position of each commit that has written. */
  readonly committed?: ((position: string) => void) | undefined
  readonly pool: ConnectionPool
  readonly origin: Origin
  /** Tells MikroORM's subscribers. Gives nothing where there is nothing to wait for. */
  readonly announce?: ((event: TransactionEvent, trx?: () => Transaction) => Promise<void> | undefined) | undefined
  /** Given, BEGIN may travel with the first statement: the column of a table that the database generates, as far as that is known. */
  readonly generatedColumn?: Destination['generatedColumn'] | undefined
  /** Whether MikroORM's subscribers are to be told of an event. */
  readonly isHeard?: ((event: TransactionEvent) => boolean) | undefined
  /** What row level security is to know of the session, when it begins. */
  readonly sessionContext?: (() => SessionContext | undefined) | undefined
  /** Takes what a subscriber throws where nothing can be changed any more. */
  readonly report: (error: unknown) => void
}
