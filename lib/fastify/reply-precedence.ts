import type { ScopeState } from '../scope/state.ts'
import type { ReplyState } from './reply-state.ts'

/** What is known when a reply comes to the last `onSend` hook. */
export interface Comer {
  readonly state: ReplyState
  readonly statusCode: number
  readonly headersSent: boolean
  /** Whether the request has failed. */
  readonly hasFailed: boolean
  /** Whether nothing has failed since this reply was begun. One of which nobody knows is taken for the last. */
  readonly isLast: boolean
  readonly scope: { readonly state: ScopeState, readonly hasWritten: boolean }
}

/**
 * Which of the replies of one request this one is. `reply.send()` can be called again while a reply waits for its flush or its commit: by a
 * handler that sends and returns, or because its time is up. The reply that is being committed wins, since its outcome cannot be taken back.
 *
 * @returns
 * - `'decides'`: the outcome of the scope is that of this reply.
 * - `'follows'`: the outcome is there; it goes out.
 * - `'superseded'`: another one goes out in its place.
 * - `'untrue'`: it would say that nothing is in the database, and something is.
 */
export function precedenceOf ({ state, statusCode, headersSent, hasFailed, isLast, scope }: Comer): 'decides' | 'follows' | 'superseded' | 'untrue' {
  // An error came while a hook of this reply took its time: the error's own reply follows.
  if (!isLast) return 'superseded'
  switch (scope.state) {
    case 'open':
      return state === 'flushing' && !hasFailed ? 'superseded' : 'decides'
    case 'ending':
      return 'superseded'
    case 'destroyed':
      if (headersSent) return 'superseded'
      // What was rolled back by force must not answer as if it were committed, unless nobody listens.
      return state === 'gone' ? 'follows' : 'decides'
    default:
      if (headersSent) return 'superseded'
      return scope.state === 'committed' && scope.hasWritten && statusCode >= 400 ? 'untrue' : 'follows'
  }
}
