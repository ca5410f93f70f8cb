import { AsyncLocalStorage } from 'node:async_hooks'
import type { AnyEntity, ChangeSet, EntityManager, Transaction } from '@mikro-orm/core'
import { transactionIsOver } from '../errors/errors.ts'
import { OutcomeCallbacks } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { Outcome } from '../types.ts'
import { SessionSnapshot } from './snapshot.ts'
import type { SessionTransactions } from './session-transactions.ts'

/** Who ends the transactions that all sessions of a scope share the fate of. */
export interface SessionOwner {
  /** What waits for their outcome. */
  openCallbacks (): OutcomeCallbacks
  commit (): Promise<void>
  rollback (): Promise<void>
  /** A transaction that MikroORM has begun is over, and so is the wait of what waited for it in `callbacks`. */
  ended (database: SessionDatabase, callbacks: OutcomeCallbacks, outcome: Outcome): void
}

/** What an EntityManager of a scope belongs to. */
export interface Binding {
  readonly database: SessionDatabase
  readonly owner: SessionOwner
  readonly transactions: SessionTransactions
  /** Set while MikroORM forks for a nested transaction, whose fork belongs to the scope too. A fork by the user does not. */
  nesting: Nesting | undefined
  /** The savepoints that are set, or wait for their turn, each until it is over. */
  readonly savepoints: Set<Promise<unknown>>
}

/**
 * An `em.transactional()` that runs. MikroORM knows the innermost one of its own (`TransactionContext`), whichever database it
 * is of; a scope has several, so each session looks for the innermost one that is its own.
 */
export interface Nesting {
  /** What the session and its forks have in common. */
  readonly binding: Binding
  /** What waits for its end. */
  readonly callbacks: OutcomeCallbacks
  readonly outer: Nesting | undefined
  /** The fork that MikroORM has made for it, once its transaction has begun. One that is joined has none. */
  em: EntityManager | undefined
  /** Whether it is committed by itself. */
  readonly isAlone: boolean
  /** Whether it has its own instances of the entities. */
  readonly isSeparate: boolean
  /** Whether it was committed, released or rolled back. */
  isOver: boolean
  /** What the session that it is inside was like before it; forgotten at its end, since a connection that it has opened keeps this. */
  before: SessionSnapshot | undefined
  /** What was written in it, and in what was inside it. */
  readonly written: Set<AnyEntity>
  /** What the first flush that has failed in it has thrown. */
  failure: Error | undefined
  /** Ends what its fork and the session have in common. */
  unshare: (() => void) | undefined
  /** Lets flushes of the session begin again, once it is rolled back. */
  releaseFlushes: (() => void) | undefined
}

/** How a transaction is run inside a session. */
interface NestedRun<T> {
  readonly binding: Binding
  /** The session that it is inside. */
  readonly em: EntityManager
  /** Whether the session is to be as it was when it fails. */
  readonly isUndone: boolean
  /** Whether it has its own instances of the entities. */
  readonly isSeparate: boolean
  run (nesting: Nesting): Promise<T>
}

/** What an EntityManager of a scope has to find both by. */
export const BINDING = Symbol('fastify-scoped-db.binding')
export const NESTING = Symbol('fastify-scoped-db.nesting')

export type BoundEntityManager = EntityManager & { [BINDING]?: Binding, [NESTING]?: Nesting }

const nestings = new AsyncLocalStorage<Nesting>()

/** @throws ScopeClosedError for what goes on after its transaction: what it changes would be lost */
export function assertNotOver (nesting: Nesting | undefined): void {
  if (nesting?.isOver === true) throw transactionIsOver()
}

/**
 * The innermost one that this belongs to and that has a fork of its own.
 * @throws ScopeClosedError when it is over: work can outlive it
 */
export function currentNesting (binding: Binding): Nesting | undefined {
  let nesting = nestings.getStore()
  while (nesting !== undefined && (nesting.binding !== binding || nesting.em === undefined)) nesting = nesting.outer
  assertNotOver(nesting)
  return nesting
}

/** Runs `fn` with `nesting` as the innermost one; without one, on the session itself. */
export function inNesting (nesting: Nesting | undefined, fn: () => void): void {
  nestings.run(nesting as Nesting, fn)
}

/** What waits for the end of the transaction that a session is in now: an `em.transactional()`, or else the scope. */
export function waitingFor (binding: Binding): OutcomeCallbacks {
  return currentNesting(binding)?.callbacks ?? binding.owner.openCallbacks()
}

/** Whether no transaction of MikroORM's own has been begun. */
export function isOwn (binding: Binding | undefined, context: Transaction | undefined): binding is Binding {
  return binding !== undefined && context !== undefined && context === binding.transactions.context
}

/** Runs what is committed by itself, in a transaction of its own or without one: what waits for its end waits for no other. */
export async function alone<T> (nested: NestedRun<T>): Promise<T> {
  const { binding } = nested
  return await runNested(nested, true, ({ callbacks }, outcome) => binding.owner.ended(binding.database, callbacks, outcome))
}

/** Runs what sets a savepoint: what waits for the end of that waits for the end of what it is in, if it is released, and is dropped if not. */
export async function inSavepoint<T> (nested: NestedRun<T>): Promise<T> {
  const outer = waitingFor(nested.binding)
  return await runNested(nested, false, ({ callbacks, before, written }, outcome) => {
    if (outcome === 'rollback') return
    outer.absorb(callbacks)
    const enclosing = (nested.em as BoundEntityManager)[NESTING]
    if (before !== undefined) enclosing?.before?.absorb(before)
    for (const entity of written) enclosing?.written.add(entity)
  })
}

async function runNested<T> ({ binding, em, isUndone, isSeparate, run }: NestedRun<T>, isAlone: boolean, ended: (nesting: Nesting, outcome: Outcome) => void): Promise<T> {
  const before = isUndone ? new SessionSnapshot(em, isSeparate) : undefined
  const nesting: Nesting = { binding, callbacks: new OutcomeCallbacks(), outer: nestings.getStore(), em: undefined, isAlone, isSeparate, isOver: false, before, written: new Set(), failure: undefined, unshare: undefined, releaseFlushes: undefined }
  const open = openOn(em)
  open.add(nesting)
  try {
    const result = await nestings.run(nesting, forking, binding, nesting, () => run(nesting))
    nesting.isOver = open.delete(nesting)
    nesting.unshare?.()
    ended(nesting, 'commit')
    nesting.before = undefined
    return result
  } catch (error) {
    nesting.isOver = open.delete(nesting)
    nesting.before?.restore()
    nesting.unshare?.()
    nesting.releaseFlushes?.()
    ended(nesting, 'rollback')
    nesting.before = undefined
    throw error
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

const open = new WeakMap<EntityManager, Set<Nesting>>()

/** The transactions that are open inside a session, one level below it. */
function openOn (em: EntityManager): Set<Nesting> {
  const nestings = open.get(em) ?? new Set()
  open.set(em, nestings)
  return nestings
}

/** A session has forgotten every entity, and is to get none back. */
export function cleared (em: EntityManager): void {
  for (const nesting of open.get(em) ?? []) nesting.before = undefined
}

/** A session is about to write. What it writes is undone with the transaction that it is, and has to be done again after one that is open inside it. */
export function flushing (em: BoundEntityManager, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  if (em[NESTING] !== undefined && em.isInTransaction()) em[NESTING].before?.writing(changeSets)
  for (const { before, isAlone } of open.get(em) ?? []) {
    if (isAlone) before?.flushingBeside(changeSets)
    else before?.flushingInside(changeSets)
  }
}

/** A session has written: what it has deleted is gone for the savepoints inside it, too, which would take it for new. */
export function flushed (em: EntityManager, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  for (const { entity } of changeSets) (em as BoundEntityManager)[NESTING]?.written.add(entity)
  for (const { em: fork, isAlone } of open.get(em) ?? []) {
    if (fork === undefined || isAlone) continue
    for (const { entity, type } of changeSets) if (type === 'delete' || type === 'delete_early') fork.getUnitOfWork(false).unsetIdentity(entity)
    flushed(fork, changeSets)
  }
}

/** What waits for the end of the transaction that a session is in now: an `em.transactional()`, or else the scope. */
export function callbacksOf (session: EntityManager): OutcomeCallbacks {
  return waitingFor(bindingOf(session))
}

/** The savepoints of a session that are set or wait for their turn, each until it is over. */
export function savepointsOf (session: EntityManager): ReadonlySet<Promise<unknown>> {
  return bindingOf(session).savepoints
}

/** What stands for the instances of entities that `em` shares with others: a savepoint has those of the session that it is inside. */
export function instancesOf (em: BoundEntityManager): object {
  const { [BINDING]: binding, [NESTING]: innermost } = em
  for (let nesting = innermost; nesting !== undefined; nesting = nesting.outer) if (nesting.binding === binding && nesting.isSeparate) return nesting
  return binding ?? em
}

/** Whether this runs inside one of them. */
export function isInSavepointOf (session: EntityManager): boolean {
  const binding = bindingOf(session)
  for (let nesting = nestings.getStore(); nesting !== undefined; nesting = nesting.outer) if (nesting.binding === binding && !nesting.isAlone) return true
  return false
}

function bindingOf (session: EntityManager): Binding {
  return (session as BoundEntityManager)[BINDING] as Binding
}
