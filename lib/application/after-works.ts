import type { AfterWork } from '../events/callbacks.ts'
import type { Log } from '../types.ts'
import { inScope } from '../scope/registry.ts'

/** The after-commit and after-rollback work of one application that is under way. */
export class AfterWorks {
  readonly #running = new Set<Promise<void>>()

  get size (): number {
    return this.#running.size
  }

  /**
   * Starts all of it, in its order, once the reply has had its chance. Nothing of it stops or delays anything else.
   * @param since a promise that it waits for, which never rejects
   */
  start (works: readonly AfterWork[], log: Log, since?: Promise<unknown>): void {
    for (const work of works) {
      const done = later(work, since).catch((err: unknown) => {
        log.error({ err }, 'work after the outcome of a database scope failed')
      }).finally(() => this.#running.delete(done))
      this.#running.add(done)
    }
  }

  /** Waits until none is under way. */
  async idle (): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}

/** The scope is over: what needs a database opens one of its own, with `db.run()`. */
async function later (work: AfterWork, since: Promise<unknown> | undefined): Promise<void> {
  await since
  await new Promise(setImmediate)
  await inScope(undefined, work)
}
