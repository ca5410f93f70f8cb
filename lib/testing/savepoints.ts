import type { ControlledTransaction } from 'kysely'

export interface Savepoint {
  /** Its name in the database: a number of its own, since MikroORM gives the same few names again and again. */
  readonly name: string
  /** `lost`: something that encloses it was rolled back, and this with it. */
  state: 'open' | 'released' | 'lost'
}

/**
 * The savepoints of one transaction, in the order in which they were set. They belong to units of work that know nothing of
 * each other, so an outer one may well end before an inner one.
 */
export class Savepoints {
  readonly #transaction: ControlledTransaction<unknown>
  readonly #stack: Savepoint[] = []
  #count = 0

  constructor (transaction: ControlledTransaction<unknown>) {
    this.#transaction = transaction
  }

  async set (): Promise<Savepoint> {
    const savepoint: Savepoint = { name: `isolated_${++this.#count}`, state: 'open' }
    await this.#transaction.savepoint(savepoint.name).execute()
    this.#stack.push(savepoint)
    return savepoint
  }

  /**
   * Releases. RELEASE would take inner ones with it that may still have to roll back, so it is sent only when there are none:
   * releasing later changes nothing.
   */
  async release (...savepoints: Savepoint[]): Promise<void> {
    for (const savepoint of savepoints) savepoint.state = 'released'
    const lowest = this.#stack.findLastIndex(({ state }) => state === 'open') + 1
    const first = this.#stack[lowest]
    if (first === undefined) return
    await this.#transaction.releaseSavepoint(first.name as never).execute()
    this.#stack.splice(lowest)
  }

  /** Rolls back to a savepoint, which stays. All that were set after it are lost. */
  async rollbackTo (savepoint: Savepoint): Promise<void> {
    await this.#transaction.rollbackToSavepoint(savepoint.name as never).execute()
    for (const inner of this.#stack.splice(this.#stack.indexOf(savepoint) + 1)) inner.state = 'lost'
  }
}
