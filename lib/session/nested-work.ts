import type { OutcomeCallbacks } from '../events/callbacks.ts'
import { waitingFor, type Binding } from './binding.ts'
import { runNested, type Nesting } from './nesting.ts'
import type { Outcome } from '../types.ts'

/** Runs what is committed by itself, in a transaction of its own or without one: what waits for its end waits for no other. */
export async function alone<T> (binding: Binding, run: () => Promise<T>): Promise<T> {
  return await nesting(binding, run, (callbacks, outcome) => binding.owner.ended(binding.database, callbacks, outcome))
}

/** Runs what sets a savepoint: what waits for the end of that waits for the end of what it is in, if it is released, and is dropped if not. */
export async function inSavepoint<T> (binding: Binding, run: () => Promise<T>): Promise<T> {
  const outer = waitingFor(binding)
  return await nesting(binding, run, (callbacks, outcome) => { if (outcome === 'commit') outer.absorb(callbacks) })
}

async function nesting<T> (binding: Binding, run: () => Promise<T>, ended: (callbacks: OutcomeCallbacks, outcome: Outcome) => void): Promise<T> {
  return await runNested(binding, async nesting => {
    try {
      const result = await forking(binding, nesting, run)
      ended(nesting.callbacks, 'commit')
      return result
    } catch (error) {
      ended(nesting.callbacks, 'rollback')
      throw error
    }
  })
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
