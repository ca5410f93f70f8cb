import type { EntityManager } from '@mikro-orm/core'
import type { SessionDatabase } from '../events/signals.ts'
import type { Scope } from '../scope/scope.ts'
import type { DatabaseSession } from './session-types.ts'

/** A unit of work outside any request, from `db.open()`. Rolled back at disposal unless it was committed. */
export interface OpenScope<Session extends EntityManager = DatabaseSession> extends AsyncDisposable {
  /**
   * The scope's session, made on first use.
   * @throws FST_SCOPED_DB_SCOPE_CLOSED once the scope or the application is closed
   */
  readonly session: Session
  /** Flushes and commits; the next statement begins a new transaction. Throws what {@link Database.commit} does. */
  commit (): Promise<void>
  /**
   * Rolls back and forgets every entity; the next statement begins a new transaction.
   * @throws FST_SCOPED_DB_SCOPE_CLOSED once the scope is closed
   */
  rollback (): Promise<void>
}

/** What of a scope is for whoever has opened it, as far as one of its databases is concerned. */
export function openScope (scope: Scope, database: SessionDatabase): OpenScope<EntityManager> {
  return {
    get session () {
      return scope.session(database)
    },
    commit: () => scope.commit(),
    rollback: () => scope.rollback(),
    [Symbol.asyncDispose]: async () => await scope.close()
  }
}
