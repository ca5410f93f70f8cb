import { AsyncLocalStorage } from 'node:async_hooks'
import type { Scope } from './scope.ts'

/**
 * Which scope is current. One registry for the whole process: a scope knows its database, so that several applications
 * never mix. Flask-SQLAlchemy's `scoped_session` is the model, with the asynchronous context in the place of its scope function.
 */
const storage = new AsyncLocalStorage<Scope | undefined>()

/** The scope that the code that runs now belongs to, if any. It may be closed: work can outlive its request. */
export function currentScope (): Scope | undefined {
  return storage.getStore()
}

/** Runs `fn`, and all that it starts, with `scope` as the current one; with `undefined`, outside any scope. */
export function runInScope<T> (scope: Scope | undefined, fn: () => T): T {
  return storage.run(scope, fn)
}
