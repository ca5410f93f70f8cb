import { AsyncLocalStorage } from 'node:async_hooks'
import { outsideTransactions } from '../session/outside-transactions.ts'
import type { ScopeInfo } from '../types.ts'
import type { ScopeHost } from './contracts.ts'
import type { Scope } from './scope.ts'

/** What the current scope is found by: the scope itself, or a request, which has one made when it is first asked for. */
export interface ScopeSource {
  readonly host: ScopeHost
  readonly info: ScopeInfo
  /** Makes it, if it was not. */
  openScope (): Scope
}

/**
 * Which scope is current. One registry for the whole process: a scope knows its database, so that several applications
 * never mix. Flask-SQLAlchemy's `scoped_session` is the model, with the asynchronous context in the place of its scope function.
 */
const sources = new AsyncLocalStorage<ScopeSource | undefined>()

/** The scope that the code that runs now belongs to, if any. It may be closed: work can outlive its request. */
export function currentScope (): Scope | undefined {
  return sources.getStore()?.openScope()
}

/** The same, without having a request's scope made. */
export function currentSource (): ScopeSource | undefined {
  return sources.getStore()
}

/** What the current scope is for, without having it made. Of any application, or of one. */
export function currentInfo (host?: ScopeHost): ScopeInfo | undefined {
  const source = currentSource()
  return source === undefined || (host !== undefined && source.host !== host) ? undefined : { ...source.info }
}

/**
 * Runs `fn`, and all that it starts, in the scope that `source` has, or outside any, unseen by every `em.transactional()` of an
 * enclosing scope: it is a unit of work of its own.
 */
export function inScope<T> (source: ScopeSource | undefined, fn: () => T): T {
  return sources.run(source, outsideTransactions<T>, fn)
}
