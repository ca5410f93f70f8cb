import type { ScopeInfo } from '../types.ts'
import { STATEMENT } from './channels.ts'
import type { StatementMessage } from './messages.ts'

type StatementListener = (message: StatementMessage) => void

/** Those of each scope that has any, by the name of the database. */
const LISTENERS = new Map<ScopeInfo, Map<string, StatementListener>>()

/** Listens to the channel for as long as there is somebody to tell. */
function tell (told: unknown): void {
  const message = told as StatementMessage
  LISTENERS.get(message.scope)?.get(message.database)?.(message)
}

/** Tells `listener`, in the place of an earlier one, of each statement of a scope in one database that is over, until `forget` is called. */
export function listen (scope: ScopeInfo, database: string, listener: StatementListener): void {
  if (LISTENERS.size === 0) STATEMENT.asyncEnd.subscribe(tell)
  const listeners = LISTENERS.get(scope) ?? new Map<string, StatementListener>()
  LISTENERS.set(scope, listeners.set(database, listener))
}

/** Nobody is told of the statements of a scope any more. */
export function forget (scope: ScopeInfo): void {
  if (LISTENERS.delete(scope) && LISTENERS.size === 0) STATEMENT.asyncEnd.unsubscribe(tell)
}
