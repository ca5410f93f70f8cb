/**
 * One user at a time, in the order of asking. A transaction has one connection, and its statements take turns on it.
 *
 * Kysely's own queue (`SingleConnectionProvider`) would send what waits in it whatever has happened meanwhile, on a
 * connection that may be back in the pool. Here, whoever gets the turn is to ask first whether there still is something to do.
 */
export class Turns {
  /** How many have the turn or wait for it. */
  #users = 0
  readonly #waiting: (() => void)[] = []
  /** Made when somebody asks for it: most turns are over before anybody wants the next. */
  #contention: PromiseWithResolvers<void> | undefined

  /** Whether somebody has the turn or waits for it. */
  get busy (): boolean {
    return this.#users > 0
  }

  /** Resolves when somebody waits for the turn that is taken now. */
  get contended (): Promise<void> {
    this.#contention ??= Promise.withResolvers()
    if (this.#waiting.length > 0) this.#contention.resolve()
    return this.#contention.promise
  }

  /**
   * Waits for the turn.
   * @returns a function that ends the turn, to be called once
   */
  async take (): Promise<() => void> {
    this.#users++
    if (this.#users > 1) {
      this.#contention?.resolve()
      await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    }
    this.#contention = undefined
    return () => {
      this.#users--
      this.#waiting.shift()?.()
    }
  }
}
