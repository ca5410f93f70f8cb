import type { EntityManager } from '@mikro-orm/core'

/** Counts what a session has not flushed, as `{ User: 2 }`. */
export function countUnflushed (em: EntityManager): Record<string, number> {
  const unitOfWork = em.getUnitOfWork()
  unitOfWork.computeChangeSets()
  const counts: Record<string, number> = {}
  for (const { meta } of unitOfWork.getChangeSets()) counts[meta.className] = (counts[meta.className] ?? 0) + 1
  return counts
}
