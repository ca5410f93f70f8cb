import type { EntityManager } from '@mikro-orm/core'

/** The flush that runs, of each EntityManager that has one. */
const running = new WeakMap<EntityManager, Promise<void>>()

/** Whether a flush of `em` runs. */
export function isFlushing (em: EntityManager): boolean {
  return running.has(em)
}

/**
 * Flushes `em`. MikroORM lets a flush that comes while one runs wait for it, and never settles it when that one fails.
 * Here it fails with the same error: what it was to write is forgotten, too.
 */
export async function flushInTurn (em: EntityManager, flush: () => Promise<void>): Promise<void> {
  const first = running.get(em)
  if (first !== undefined) {
    await Promise.race([flush(), failure(first)])
    return
  }
  const flushed = flush()
  running.set(em, flushed)
  try {
    await flushed
  } finally {
    running.delete(em)
  }
}

/** Rejects as `work` does, and never resolves. */
function failure (work: Promise<void>): Promise<never> {
  return new Promise((_resolve, reject) => { work.catch(reject) })
}
