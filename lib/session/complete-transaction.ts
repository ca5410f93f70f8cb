import type { EntityManager } from '@mikro-orm/core'
import { flushAll } from './flush-all.ts'
import { holdFlushes } from './flush.ts'
import { instancesOf, type Nesting } from './nesting.ts'

/**
 * Does what is to be done in a transaction inside the session, to its end. When it fails, no flush of the session is cut in two by the rollback.
 * @throws what a flush in it has thrown, although that was caught: part of it may be written
 */
export async function complete<Session extends EntityManager, T> (fork: Session, nesting: Nesting, use: (em: Session) => T | Promise<T>): Promise<T> {
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
