import type { EntityManager } from '@mikro-orm/core'
import { Mutex } from '../transaction/mutex.ts'
import { FLUSH, type FlushingSession } from './flush-all.ts'
import { isFlushing } from './flush.ts'
import { runNested, type NestedRun } from './nested-transaction.ts'
import { bindingOf, innermostNesting, NESTING, waitingFor, type BoundEntityManager } from './nesting.ts'

const mutexes = new WeakMap<EntityManager, Mutex>()

/** MikroORM's own names for savepoints are the same for siblings, so these take turns; also with what none may be set during. */
export function savepointMutex (em: EntityManager): Mutex {
  const mutex = mutexes.get(em) ?? new Mutex()
  mutexes.set(em, mutex)
  return mutex
}

/** The savepoints of a session that are set or wait for their turn, each until it is over. */
export function savepointsOf (session: EntityManager): ReadonlySet<Promise<unknown>> {
  return bindingOf(session).savepoints
}

/** Whether this runs inside a savepoint of a session. */
export function isInSavepointOf (session: EntityManager): boolean {
  const binding = bindingOf(session)
  for (let nesting = innermostNesting(); nesting !== undefined; nesting = nesting.outer) if (nesting.binding === binding && !nesting.isAlone) return true
  return false
}

/** Runs what sets a savepoint, when it is its turn. */
export async function inSavepoint<T> (nested: NestedRun<T>): Promise<T> {
  const { savepoints } = nested.binding
  const result = inTurn(nested)
  const over = result.catch(() => undefined).finally(() => { savepoints.delete(over) })
  savepoints.add(over)
  return await result
}

async function inTurn<T> (nested: NestedRun<T>): Promise<T> {
  const { binding, em } = nested
  const mutex = savepointMutex(em)
  await mutex.acquire()
  try {
    // As SQLAlchemy does: what was there before stays, whatever becomes of the savepoint.
    if (binding.transactions.isAutomatic) do await (em as FlushingSession)[FLUSH](); while (isFlushing(em))
    return await setSavepoint(nested)
  } finally {
    mutex.release()
  }
}

/** What waits for the end of that waits for the end of what it is in, if it is released, and is dropped if not. */
async function setSavepoint<T> (nested: NestedRun<T>): Promise<T> {
  const outer = waitingFor(nested.binding)
  return await runNested(nested, false, ({ callbacks, before, written }, outcome) => {
    if (outcome === 'rollback') return
    outer.absorb(callbacks)
    const enclosing = (nested.em as BoundEntityManager)[NESTING]
    if (before !== undefined) enclosing?.before?.absorb(before)
    for (const entity of written) enclosing?.written.add(entity)
  })
}
