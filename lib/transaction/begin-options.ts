import type { IsolationLevel } from '@mikro-orm/core'

/** How a transaction begins. */
export interface BeginOptions {
  readonly isolationLevel?: IsolationLevel | undefined
  readonly readOnly?: boolean | undefined
  /** Whether it waits for what other nodes of its cluster have committed. */
  readonly causalReads?: boolean | undefined
}
