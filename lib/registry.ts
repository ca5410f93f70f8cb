import { AsyncLocalStorage } from 'node:async_hooks'
import type { Scope } from './scope.ts'

/** What the current scope is found by: the scope itself, or a request, which has one made when it is first asked for. */
export interface ScopeSource {
  readonly scope: Scope
}

/**
 * Which scope is current. One registry for the whole process: a scope knows its database, so that several applications
 * never mix. Flask-SQLAlchemy's `scoped_session` is the model, with the asynchronous context in the place of its scope function.
 */
const storage = new AsyncLocalStorage<ScopeSource | undefined>()

/** The scope that the code that runs now belongs to, if any. It may be closed: work can outlive its request. */
export function currentScope (): Scope | undefined {
  return storage.getStore()?.scope
}

/** The same, without having a request's scope made. */
export function currentSource (): ScopeSource | undefined {
  return storage.getStore()
}

/** Runs `fn`, and all that it starts, in the scope that `source` has; with `undefined`, outside any scope. */
export function runInScope<A extends unknown[], T> (source: ScopeSource | undefined, fn: (...args: A) => T, ...args: A): T {
  return storage.run(source, fn, ...args)
}
