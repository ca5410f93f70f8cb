import type { EntityManager } from '@mikro-orm/core'
import { EndlessFlushError } from '../errors/errors.ts'
import { hasUnflushed } from './dirty-check.ts'

/** Flushes once, and says whether it has written anything, or left something to the next. */
export const FLUSH = Symbol('fastify-scoped-db.flush')

/** As many as SQLAlchemy allows. */
const MOST_FLUSHES = 100

export type FlushingSession = EntityManager & { [FLUSH] (): Promise<boolean> }

/**
 * Flushes until nothing is left: what a flush meets, and what a subscriber adds, is for the next one.
 * @returns whether there was anything
 * @throws EndlessFlushError when there is no end to it
 */
export async function flushAll (session: EntityManager): Promise<boolean> {
  for (let n = 0; n < MOST_FLUSHES; n++) {
    const hadAnything = await (session as FlushingSession)[FLUSH]()
    if (!hadAnything || !hasUnflushed(session)) return hadAnything || n > 0
  }
  throw new EndlessFlushError(MOST_FLUSHES)
}
