/**
 * One holder at a time, in the order of asking. A transaction has one connection, and its statements take turns on it.
 *
 * Kysely's own queue (`SingleConnectionProvider`) would send what waits in it whatever has happened meanwhile, on a
 * connection that may be back in the pool. Here, whoever acquires it is to ask first whether there still is something to do.
 */
export class Mutex {
  /** How many hold it or wait for it. */
  #users = 0
  readonly #waiting: (() => void)[] = []
  /** Made when somebody asks for it: most are released before anybody waits. */
  #waiter: PromiseWithResolvers<void> | undefined

  /** Whether somebody holds it or waits for it. */
  get isLocked (): boolean {
    return this.#users > 0
  }

  /** Resolves when somebody waits for whoever holds it now. */
  hasWaiter (): Promise<void> {
    this.#waiter ??= Promise.withResolvers()
    if (this.#waiting.length > 0) this.#waiter.resolve()
    return this.#waiter.promise
  }

  /**
   * Waits until it is free.
   * @returns a function that releases it, to be called once
   */
  async acquire (): Promise<() => void> {
    this.#users++
    if (this.#users > 1) {
      this.#waiter?.resolve()
      await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    }
    this.#waiter = undefined
    return () => {
      this.#users--
      this.#waiting.shift()?.()
    }
  }
}
