import type { AnyEntity, ChangeSet, EntityManager } from '@mikro-orm/core'
import { entitiesOf, type persistAgain, type removeAgain } from './ask-again.ts'
import { noteDeleted, setDeleted } from './deleted-rows.ts'
import { instancesOf, NESTING, type BoundEntityManager, type Nesting } from './nesting.ts'

/** The transactions that are open inside each session, one level below it. */
const open = new WeakMap<EntityManager, Set<Nesting>>()

/** Those that are committed by themselves, by what stands for the entities of the session that each is open inside. */
const alone = new WeakMap<object, Set<Nesting>>()

/**
 * A transaction is open inside a session.
 * @returns what says that it is over
 */
export function openInside (em: EntityManager, nesting: Nesting): () => void {
  const sets = [setOf(open, em), ...nesting.isAlone ? [setOf(alone, instancesOf(em))] : []]
  for (const set of sets) set.add(nesting)
  return () => { for (const set of sets) set.delete(nesting) }
}

function setOf<Key extends object> (sets: WeakMap<Key, Set<Nesting>>, key: Key): Set<Nesting> {
  const set = sets.get(key) ?? new Set()
  sets.set(key, set)
  return set
}

/** A session has forgotten every entity, and is to get none back. */
export function onClear (em: EntityManager): void {
  setDeleted(instancesOf(em), [])
  for (const nesting of open.get(em) ?? []) nesting.before = undefined
}

/** A session is asked for something, not from inside of the transactions that are open in it: it stays so when these are undone. */
export function onAsked (em: EntityManager, again: typeof persistAgain | typeof removeAgain, asked: unknown): void {
  const nestings = open.get(em)
  if (nestings === undefined || nestings.size === 0) return
  const entities = entitiesOf(asked)
  for (const { before } of nestings) before?.askedOutside(() => { again(em.getUnitOfWork(false), entities) })
}

/** A session is about to write. What it writes is undone with the transaction that it is, and has to be done again after one that is open inside it. */
export function onFlush (em: BoundEntityManager, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  if (em[NESTING] !== undefined && em.isInTransaction()) em[NESTING].before?.writing(changeSets)
  for (const { before, isAlone } of open.get(em) ?? []) if (!isAlone) before?.flushingInside(changeSets)
  settledBeside(em)
}

/** A session is about to be committed, or its outcome is there. */
export function onOutcome (em: EntityManager): void {
  setDeleted(instancesOf(em), [])
  settledBeside(em)
}

/** Savepoints of a session have the same entities, and so the same beside them. */
function settledBeside (em: BoundEntityManager): void {
  for (const nesting of alone.get(instancesOf(em)) ?? []) if (!isWithin(em[NESTING], nesting)) nesting.before?.settledBeside()
}

function isWithin (inner: Nesting | undefined, nesting: Nesting): boolean {
  return inner !== undefined && (inner === nesting || isWithin(inner.outer, nesting))
}

/** A session has written: what it has deleted is gone for the savepoints inside it, too, which would take it for new. */
export function afterFlush (em: EntityManager, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  noteDeleted(instancesOf(em), changeSets)
  for (const { entity } of changeSets) (em as BoundEntityManager)[NESTING]?.written.add(entity)
  for (const { em: fork, isAlone } of open.get(em) ?? []) {
    if (fork === undefined || isAlone) continue
    for (const { entity, type } of changeSets) if (type === 'delete' || type === 'delete_early') fork.getUnitOfWork(false).unsetIdentity(entity)
    afterFlush(fork, changeSets)
  }
}
