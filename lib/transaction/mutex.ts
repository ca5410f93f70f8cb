/**
 * One holder at a time, in the order of asking. A transaction has one connection, and its statements take turns on it.
 *
 * Kysely's own queue (`SingleConnectionProvider`) would send what waits in it whatever has happened meanwhile, on a
 * connection that may be back in the pool. Here, whoever acquires it is to ask first whether there still is something to do.
 */
export class Mutex {
  /** How many hold it or wait for it. */
  #users = 0
  /** Made when somebody waits: most are free when they are asked for. */
  #waiting: (() => void)[] | undefined
  /** Made when somebody asks for it: most are released before anybody waits. */
  #waiter: PromiseWithResolvers<void> | undefined

  /** Whether somebody holds it or waits for it. */
  get isLocked (): boolean {
    return this.#users > 0
  }

  /** Resolves when somebody waits for whoever holds it now. */
  hasWaiter (): Promise<void> {
    this.#waiter ??= Promise.withResolvers()
    if (this.#users > 1) this.#waiter.resolve()
    return this.#waiter.promise
  }

  /** Takes it, to be released once. Gives nothing where it is free, and there is nothing to wait for. */
  acquire (): Promise<void> | undefined {
    this.#users++
    if (this.#users > 1) return this.#wait()
    this.#waiter = undefined
    return undefined
  }

  release (): void {
    this.#users--
    this.#waiting?.shift()?.()
  }

  async #wait (): Promise<void> {
    this.#waiter?.resolve()
    await new Promise<void>(resolve => { (this.#waiting ??= []).push(resolve) })
    this.#waiter = undefined
  }
}
