import type { EntityManager } from '@mikro-orm/core'
import { OutcomeCallbacks } from '../events/callbacks.ts'
import type { Outcome } from '../types.ts'
import { flushAll } from './flush-all.ts'
import { holdFlushes } from './flush.ts'
import { inNesting, innermostNesting, instancesOf, type Binding, type Nesting } from './nesting.ts'
import { openInside } from './open-nestings.ts'
import { SessionSnapshot } from './snapshot.ts'

/** How a transaction is run inside a session. */
export interface NestedRun<T> {
  readonly binding: Binding
  /** The session that it is inside. */
  readonly em: EntityManager
  /** Whether the session is to be as it was when it fails. */
  readonly isUndone: boolean
  /** Whether it has its own instances of the entities. */
  readonly isSeparate: boolean
  run (nesting: Nesting): Promise<T>
}

/** Runs what is committed by itself, in a transaction of its own or without one: what waits for its end waits for no other. */
export async function alone<T> (nested: NestedRun<T>): Promise<T> {
  const { binding } = nested
  return await runNested(nested, true, ({ callbacks }, outcome) => binding.owner.outcomes.ended(binding.database, callbacks, outcome))
}

/**
 * Runs a transaction inside a session, to its end.
 * @param ended is told what has become of it
 */
export async function runNested<T> ({ binding, em, isUndone, isSeparate, run }: NestedRun<T>, isAlone: boolean, ended: (nesting: Nesting, outcome: Outcome) => void): Promise<T> {
  const before = isUndone ? new SessionSnapshot(em, isSeparate, instancesOf(em)) : undefined
  const nesting: Nesting = { binding, callbacks: new OutcomeCallbacks(), outer: innermostNesting(), em: undefined, isAlone, isSeparate, isOver: false, before, written: new Set(), failure: undefined, unshare: undefined, releaseFlushes: undefined }
  const over = openInside(em, nesting)
  try {
    const result = await inNesting(nesting, () => forking(binding, nesting, () => run(nesting)))
    nesting.isOver = true
    over()
    nesting.unshare?.()
    ended(nesting, 'commit')
    nesting.before = undefined
    return result
  } catch (error) {
    nesting.isOver = true
    over()
    restore(nesting)
    nesting.unshare?.()
    nesting.releaseFlushes?.()
    ended(nesting, 'rollback')
    nesting.before = undefined
    throw error
  }
}

/** Where that fails, nobody knows what the session shows: only a rollback is left. */
function restore ({ before, binding }: Nesting): void {
  try {
    before?.restore()
  } catch (error) {
    binding.transactions.doom(error)
  }
}

/** MikroORM forks before it first awaits. */
function forking<T> (binding: Binding, nesting: Nesting, run: () => T): T {
  binding.nesting = nesting
  try {
    return run()
  } finally {
    binding.nesting = undefined
  }
}

/**
 * Does what is to be done in a transaction inside the session, to its end. When it fails, no flush of the session is cut in two by the rollback.
 * @throws what a flush in it has thrown, although that was caught: part of it may be written
 */
export async function runAndFlush<Session extends EntityManager, T> (fork: Session, nesting: Nesting, use: (em: Session) => T | Promise<T>): Promise<T> {
  try {
    const result = await use(fork)
    if (nesting.failure !== undefined) throw nesting.failure
    await flushAll(fork)
    return result
  } catch (error) {
    nesting.releaseFlushes = await holdFlushes(instancesOf(fork))
    throw error
  }
}
