import type { MikroORM } from '@mikro-orm/core'
import type { SignalListeners } from './signals.ts'

/** What a session is of. */
export interface SessionDatabase {
  readonly name: string
  readonly orm: MikroORM
  /** @internal Who wants to be told of its sessions. */
  readonly listeners: SignalListeners
}
