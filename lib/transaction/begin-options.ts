import type { IsolationLevel } from '@mikro-orm/core'

/** How a transaction begins. */
export interface BeginOptions {
  readonly isolationLevel?: IsolationLevel | undefined
  readonly readOnly?: boolean | undefined
}
