import type { AcquireTimeout } from './acquire-timeout.ts'
import type { ConnectionInUse } from './pooled-connection.ts'
import { lost, type Silence } from './silence.ts'

/**
 * Watches over a statement until its answer has come, which nothing else limits: a plain read outside the transaction, the first one inside, or a BEGIN that waits for other
 * nodes; never a COMMIT, since what is said of connections can be wrong. When the server does not work on it, its connection is destroyed, once: what is tried after that has to answer first, and is waited for.
 * If that is called lost again and again, and answers all the same, what is said of connections is not true.
 */
export class SilenceWatch {
  readonly silence: Silence
  readonly #timeout: AcquireTimeout
  #hasGivenUp = false

  constructor (silence: Silence, timeout: AcquireTimeout) {
    this.silence = silence
    this.#timeout = timeout
  }

  /** Whether it has destroyed a connection. */
  get hasGivenUp (): boolean {
    return this.#hasGivenUp
  }

  /** Has a connection answer that has not been asked for its name yet, or has to prove that it leads to a server. One that was just made has proved that, and may take its time. */
  identified ({ connection, isFresh }: ConnectionInUse): Promise<void> | undefined {
    const silence = this.silence
    if (!this.#hasGivenUp && silence.knows(connection)) return undefined
    return this.#timeout.limit(isFresh ? this.#timeout.deadline() : this.#timeout.silenceDeadline(), silence.identify(connection))
  }

  /** Which server it leads to, where that says so itself. */
  versionOf ({ connection }: ConnectionInUse): string | undefined {
    return this.silence.versionOf(connection)
  }

  /** Sends it. */
  async over<T> (inUse: ConnectionInUse, send: () => Promise<T>): Promise<T> {
    const { connection } = inUse
    const identified = this.identified(inUse)
    if (identified !== undefined) await identified
    const silence = this.silence
    const timeout = this.#timeout
    let isOver = false
    let timesCalledLost = 0
    const listen = (): ReturnType<AcquireTimeout['start']> => timeout.start(() => { void ask() }, timeout.silenceDeadline())
    const ask = async (): Promise<void> => {
      const isLost = await timeout.limit(timeout.deadline(), silence.isLost(connection)).catch(() => false)
      if (isOver) return
      if (isLost && !this.#hasGivenUp) {
        this.#hasGivenUp = true
        await inUse.destroy(lost())
        return
      }
      if (isLost) timesCalledLost++
      wait = listen()
    }
    let wait = listen()
    try {
      const answer = await send()
      // Once may be a matter of what was under way: the answer, when the server was asked.
      if (timesCalledLost > 1) silence.distrust()
      return answer
    } finally {
      isOver = true
      timeout.clear(wait)
    }
  }
}
