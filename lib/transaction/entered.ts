import type { QueryResult } from 'kysely'
import type { ActiveTransaction } from './active-transaction.ts'
import type { PooledConnection } from './pooled-connection.ts'
import type { Placement } from './statement.ts'

/** What a statement runs on, and how it gives that back. */
export interface Entered {
  readonly placement: Placement
  readonly connection: PooledConnection
  /** The transaction that it is in. */
  readonly active?: ActiveTransaction
  /** What a statement has been answered already, together with BEGIN. */
  readonly answer?: Promise<QueryResult<unknown>> | undefined
  /** Whether something sent on it outside has failed. */
  hasFailed?: true
  release (): Promise<void> | void
}

/** Gives back what a statement runs on, once nothing runs there any more. Whoever has given up a statement does not wait for that. */
export function leave ({ connection: { busy }, release }: Entered): Promise<void> | void {
  if (busy === undefined) return release()
  busy.then(release).catch(() => undefined)
}
