import type { Placement } from './statement.ts'

interface OpenStream {
  readonly placement: Placement
  /** Whether its reader waits for a row now, rather than working on the last one. */
  isRead: boolean
  close (): Promise<void>
}

/**
 * The query streams that are being read. A stream has its connection until its last row, and its reader may never ask
 * for the last row, so whoever ends the transaction must be able to close the streams.
 */
export class QueryStreams {
  #open: readonly OpenStream[] = []

  get isEmpty (): boolean {
    return this.#open.length === 0
  }

  has (placement: Placement): boolean {
    return this.#at(placement).length > 0
  }

  /** Whether a stream inside the transaction has a reader who is busy with something else. */
  get hasIdleReader (): boolean {
    return this.#at('inside').some(stream => !stream.isRead)
  }

  /** Closes the streams inside the transaction, or all of them. Their readers get the error that `read()` was given. */
  async close (placement?: Placement): Promise<void> {
    await Promise.allSettled(this.#at(placement).map(stream => stream.close()))
  }

  /**
   * Passes `rows` on.
   * @param release gives the connection back; called once, whoever ends the stream
   * @param refusal makes the error for a reader whose stream was closed: the end of the rows would look like the end of the table
   */
  async * read<T> (placement: Placement, rows: AsyncIterableIterator<T>, release: () => Promise<void> | void, refusal: () => Error): AsyncIterableIterator<T> {
    let isClosed = false
    const end = async () => {
      this.#open = this.#open.filter(other => other !== stream)
      try {
        await rows.return?.()
      } finally {
        await release()
      }
    }
    const stream: OpenStream = {
      placement,
      isRead: false,
      close: async () => {
        isClosed = true
        await end()
      }
    }
    this.#open = [...this.#open, stream]
    try {
      yield * this.#watched(rows, stream)
    } finally {
      if (!isClosed) await end()
    }
    if (isClosed) throw refusal()
  }

  async * #watched<T> (rows: AsyncIterableIterator<T>, stream: OpenStream): AsyncIterableIterator<T> {
    for (;;) {
      stream.isRead = true
      const { done, value } = await rows.next()
      stream.isRead = false
      if (done === true) return
      yield value
    }
  }

  #at (placement?: Placement): OpenStream[] {
    return this.#open.filter(stream => placement === undefined || stream.placement === placement)
  }
}
