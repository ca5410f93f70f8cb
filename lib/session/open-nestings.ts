import type { AnyEntity, ChangeSet, EntityManager } from '@mikro-orm/core'
import { NESTING, type BoundEntityManager, type Nesting } from './nesting.ts'

const open = new WeakMap<EntityManager, Set<Nesting>>()

/** The transactions that are open inside a session, one level below it. */
export function openInside (em: EntityManager): Set<Nesting> {
  const nestings = open.get(em) ?? new Set()
  open.set(em, nestings)
  return nestings
}

/** A session has forgotten every entity, and is to get none back. */
export function onClear (em: EntityManager): void {
  for (const nesting of open.get(em) ?? []) nesting.before = undefined
}

/** A session is asked for something, not from inside of the transactions that are open in it: it stays so when these are undone. */
export function onAsked (em: EntityManager, ask: () => void): void {
  for (const { before } of open.get(em) ?? []) before?.askedOutside(ask)
}

/** A session is about to write. What it writes is undone with the transaction that it is, and has to be done again after one that is open inside it. */
export function onFlush (em: BoundEntityManager, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  if (em[NESTING] !== undefined && em.isInTransaction()) em[NESTING].before?.writing(changeSets)
  for (const { before, isAlone } of open.get(em) ?? []) {
    if (isAlone) before?.flushingBeside()
    else before?.flushingInside(changeSets)
  }
}

/** A session has written: what it has deleted is gone for the savepoints inside it, too, which would take it for new. */
export function afterFlush (em: EntityManager, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  for (const { entity } of changeSets) (em as BoundEntityManager)[NESTING]?.written.add(entity)
  for (const { em: fork, isAlone } of open.get(em) ?? []) {
    if (fork === undefined || isAlone) continue
    for (const { entity, type } of changeSets) if (type === 'delete' || type === 'delete_early') fork.getUnitOfWork(false).unsetIdentity(entity)
    afterFlush(fork, changeSets)
  }
}
