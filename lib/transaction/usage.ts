const now = performance.now.bind(performance)

/** What statements have cost. Those that run side by side count each. */
export class StatementUsage {
  statements = 0
  /** How long they took, in milliseconds. */
  milliseconds = 0
  /** How much of that passed before they were sent: waiting for a connection, for their turn, for BEGIN. */
  waited = 0

  /**
   * Counts a statement.
   * @param run is to call `sending` when it is sent
   */
  async measure<T> (run: (sending: () => void) => Promise<T>): Promise<T> {
    const { sending, over } = this.#begin()
    return await run(sending).finally(over)
  }

  /** The same for one whose rows are read one by one. */
  async * measureStream<T> (run: (sending: () => void) => AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    const { sending, over } = this.#begin()
    try {
      yield * run(sending)
    } finally {
      over()
    }
  }

  #begin (): { sending: () => void, over: () => void } {
    const begun = now()
    this.statements++
    let sent: number | undefined
    return {
      // Once more where it is sent again.
      sending: () => { sent = now() },
      over: () => {
        const ended = now()
        this.milliseconds += ended - begun
        this.waited += (sent ?? ended) - begun
      }
    }
  }
}
