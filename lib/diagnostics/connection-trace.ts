import { CONNECTION } from './channels.ts'
import { about, type ConnectionMessage, type Origin } from './messages.ts'
import { Trace } from './trace.ts'

/** A connection that somebody waits for, has, and gives back. */
export class ConnectionTrace {
  readonly #trace: Trace<ConnectionMessage>
  #waited: number | undefined

  constructor (origin: Origin) {
    this.#trace = new Trace<ConnectionMessage>(CONNECTION, about(origin))
  }

  /** It is there. */
  arrived (): void {
    this.#waited = this.#trace.elapsed
    this.#trace.arrive({ waited: this.#waited })
  }

  /** @param returned until it is given back; what that rejects with after it has arrived is not the connection's fault */
  async until<T> (returned: Promise<T>): Promise<T> {
    try {
      const result = await returned
      this.#over()
      return result
    } catch (error) {
      this.#over(error)
      throw error
    }
  }

  #over (error?: unknown): void {
    const { elapsed } = this.#trace
    this.#trace.end(this.#waited === undefined ? { waited: elapsed, error } : { held: elapsed - this.#waited })
  }
}
