/**
 * One user at a time, in the order of asking. A transaction has one connection, and its statements take turns on it.
 *
 * Kysely's own queue (`SingleConnectionProvider`) would send what waits in it whatever has happened meanwhile, on a
 * connection that may be back in the pool. Here, whoever gets the turn is to ask first whether there still is something to do.
 */
export class Turns {
  #last: Promise<void> | undefined
  #taken = 0
  #contended = Promise.withResolvers<void>()

  /** Whether somebody has the turn or waits for it. */
  get busy (): boolean {
    return this.#taken > 0
  }

  /** Resolves when somebody waits for the turn that is taken now. */
  get contended (): Promise<void> {
    return this.#contended.promise
  }

  /**
   * Waits for the turn.
   * @returns a function that ends the turn, to be called once
   */
  async take (): Promise<() => void> {
    const before = this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last = promise
    this.#taken++
    this.#contended.resolve()
    await before
    this.#contended = Promise.withResolvers<void>()
    if (this.#taken > 1) this.#contended.resolve()
    return () => {
      this.#taken--
      resolve()
    }
  }
}
