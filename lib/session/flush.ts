import { AsyncLocalStorage } from 'node:async_hooks'
import type { Collection, EntityManager, IDatabaseDriver } from '@mikro-orm/core'
import { FlushInterruptedError } from '../errors/errors.ts'
import { InsertedEntities } from './inserted-entities.ts'
import { LateChanges } from './late-changes.ts'

/** A flush that runs. */
class Flush {
  readonly late: LateChanges
  /** Whether it has written anything, or left something to the next. */
  readonly done: Promise<boolean>
  /** The one that comes after it: those who ask for a flush meanwhile share it. */
  next: Promise<boolean> | undefined
  #interruption: Error | undefined

  constructor (em: EntityManager, instances: object, commit: () => Promise<void>) {
    this.late = new LateChanges(em)
    running.set(em, this)
    this.done = this.#run(em, instances, commit)
  }

  async #run (em: EntityManager, instances: object, commit: () => Promise<void>): Promise<boolean> {
    const release = acquireWriting(instances, em) ?? await waitForWriting(instances, em)
    const inside: Inside = { flush: this }
    const inserted = new InsertedEntities(em)
    let hasFailed = true
    try {
      await insideFlush.run(inside, commit)
      this.assertWhole()
      hasFailed = false
    } finally {
      inside.flush = undefined
      release()
      inserted.settle(hasFailed)
      running.delete(em)
      // MikroORM has put back some of what it was to forget.
      if (this.#interruption !== undefined) em.getUnitOfWork(false).clear()
      this.late.settle()
    }
    return this.late.hasWritten || this.late.hasLeft
  }

  interrupt (by: string): void {
    this.#interruption ??= new FlushInterruptedError(by)
    this.late.forget()
  }

  /** @throws FlushInterruptedError when the session has forgotten meanwhile what it writes */
  assertWhole (): void {
    if (this.#interruption !== undefined) throw this.#interruption
  }
}

/** That of each EntityManager that has one. */
const running = new WeakMap<EntityManager, Flush>()

/** Of entities that several EntityManagers share: who alone may write them now, and until when. Nobody, where none is to write them. */
const writing = new WeakMap<object, { readonly by: EntityManager | undefined, readonly over: Promise<void> }>()

/**
 * MikroORM passes over entities that a flush of another EntityManager is about to write, and forgets what was to be done with them.
 * @returns what releases it; nothing while another has it
 */
function acquireWriting (instances: object, by?: EntityManager): (() => void) | undefined {
  if (writing.has(instances)) return undefined
  const { promise: over, resolve } = Promise.withResolvers<void>()
  writing.set(instances, { by, over })
  return () => {
    writing.delete(instances)
    resolve()
  }
}

/** Inside a flush, which would wait for itself, there is nothing to wait for. */
async function waitForWriting (instances: object, by?: EntityManager): Promise<() => void> {
  if (enclosingFlush() !== undefined) return () => {}
  for (;;) {
    await writing.get(instances)?.over
    const release = acquireWriting(instances, by)
    if (release !== undefined) return release
  }
}

/** Whether a flush writes some of these entities: it has found already what of them it writes. */
export function isWriting (instances: object): boolean {
  const unitOfWork = writing.get(instances)?.by?.getUnitOfWork(false)
  return unitOfWork !== undefined && unitOfWork.getChangeSets().length + unitOfWork.getCollectionUpdates().length > 0
}

/** Waits until no flush writes these entities any more, and lets none begin until what it gives is called. */
export async function holdFlushes (instances: object): Promise<() => void> {
  return acquireWriting(instances) ?? await waitForWriting(instances)
}

/** A pooled connection that is opened by a flush keeps this for good, but not the flush, nor its session. */
interface Inside {
  flush: Flush | undefined
}

const insideFlush = new AsyncLocalStorage<Inside>()

function enclosingFlush (): Flush | undefined {
  return insideFlush.getStore()?.flush
}

/** Whether this runs inside a flush. */
export function isInsideFlush (): boolean {
  return enclosingFlush() !== undefined
}

/** Whether a flush of `em` runs. */
export function isFlushing (em: EntityManager): boolean {
  return running.has(em)
}

/** What comes too late for the flush of `em` that runs, if one does. */
export function lateChanges (em: EntityManager): LateChanges | undefined {
  return running.get(em)?.late
}

/**
 * Flushes `em`, after the flush that runs. MikroORM would let it write what both have found, never settle it when that one fails, and
 * forget what came in between. When the one before fails, it fails with the same error: what it was to write is forgotten, too.
 * @param instances what stands for the entities that `em` shares with others: one flush of these at a time
 * @returns whether it has written anything, or left something to the next
 */
export function flushInTurn (em: EntityManager, instances: object, commit: () => Promise<void>): Promise<boolean> {
  const current = running.get(em)
  return current === undefined ? new Flush(em, instances, commit).done : flushAfter(current, em, instances, commit)
}

async function flushAfter (current: Flush, em: EntityManager, instances: object, commit: () => Promise<void>): Promise<boolean> {
  // MikroORM refuses it: it would wait for itself.
  if (enclosingFlush() !== undefined) await commit()
  current.next ??= current.done.then(() => flushInTurn(em, instances, commit))
  return await current.next
}

/** Makes the flush of `em` fail that runs, if one does. */
export function interruptFlush (em: EntityManager, by: string): void {
  running.get(em)?.interrupt(by)
}

/**
 * Waits until no flush of `em` runs any more.
 * @throws FlushInterruptedError inside one, which would wait for itself
 */
export async function flushEnded (em: EntityManager): Promise<void> {
  const flush = running.get(em)
  if (flush === undefined) return
  if (enclosingFlush() === flush) flush.assertWhole()
  await flush.done.catch(() => undefined)
}

/** @throws FlushInterruptedError inside a flush that was interrupted */
export function assertFlushIsWhole (): void {
  enclosingFlush()?.assertWhole()
}

/** Has a driver tell the flush that runs of each collection in the moment when that is read to be written. */
export function watchCollections (driver: IDatabaseDriver): void {
  const { syncCollections } = driver
  // eslint-disable-next-line no-restricted-syntax -- once, and for good.
  driver.syncCollections = async function (collections, options) {
    await syncCollections.call(this, watched(collections as Iterable<Collection<object>>), options)
  }
}

function * watched (collections: Iterable<Collection<object>>): Generator<Collection<object>> {
  const late = enclosingFlush()?.late
  for (const collection of collections) {
    late?.sending(collection)
    yield collection
  }
}
