/** Where callers wait until what they need is free. Who came first is asked first. */
export class WaitingRoom {
  #changed = Promise.withResolvers<void>()
  #closed: Error | undefined

  /**
   * Waits until `attempt` gives something.
   * @param attempt takes what is needed if it is free; asked now, and after each change
   * @param timeout how long to wait, in milliseconds, and the error when that is over; for ever without it
   * @throws what `close()` was given
   */
  async enter<T> (attempt: () => T | undefined, timeout?: { readonly after: number, readonly error: Error }): Promise<T> {
    const late = Promise.withResolvers<never>()
    const timer = timeout === undefined ? undefined : setTimeout(() => late.reject(timeout.error), timeout.after)
    try {
      for (;;) {
        this.assertOpen()
        const taken = attempt()
        if (taken !== undefined) return taken
        await Promise.race([this.#changed.promise, late.promise])
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** @throws what `close()` was given */
  assertOpen (): void {
    if (this.#closed !== undefined) throw this.#closed
  }

  /** Something may be free now. */
  changed (): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** Nobody is let in any more. The first reason stays. */
  close (error: Error): void {
    this.#closed ??= error
    this.changed()
  }
}
