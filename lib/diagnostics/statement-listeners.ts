import type { ScopeInfo } from '../types.ts'
import { STATEMENT } from './channels.ts'
import type { StatementMessage } from './messages.ts'

type StatementListener = (message: StatementMessage) => void

/** Those of each scope that has any. */
const LISTENERS = new Map<ScopeInfo, StatementListener[]>()

/** Listens to the channel for as long as there is somebody to tell. */
function tell (message: unknown): void {
  for (const listener of LISTENERS.get((message as StatementMessage).scope) ?? []) listener(message as StatementMessage)
}

/** Tells `listener` of each statement of a scope that is over, until `forget` is called. */
export function listen (scope: ScopeInfo, listener: StatementListener): void {
  if (LISTENERS.size === 0) STATEMENT.asyncEnd.subscribe(tell)
  LISTENERS.set(scope, [...LISTENERS.get(scope) ?? [], listener])
}

/** Nobody is told of the statements of a scope any more. */
export function forget (scope: ScopeInfo): void {
  if (LISTENERS.delete(scope) && LISTENERS.size === 0) STATEMENT.asyncEnd.unsubscribe(tell)
}
