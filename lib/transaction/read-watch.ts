import type { CompiledQuery, QueryResult } from 'kysely'
import type { AcquireTimeout } from './acquire-timeout.ts'
import type { ConnectionInUse } from './pooled-connection.ts'
import { lost, type Silence } from './silence.ts'

/**
 * Watches over one plain read outside the transaction, until its answer has come. When the server does not work on it, its connection is
 * destroyed, once: what is tried after that has to answer first, and is waited for.
 */
export class ReadWatch {
  readonly #silence: Silence
  readonly #timeout: AcquireTimeout
  #hasGivenUp = false

  constructor (silence: Silence, timeout: AcquireTimeout) {
    this.#silence = silence
    this.#timeout = timeout
  }

  /** Sends it on a connection. */
  async send<R> (inUse: ConnectionInUse, query: CompiledQuery<R>): Promise<QueryResult<R>> {
    const silence = this.#silence
    const { connection } = inUse
    const timeout = this.#timeout
    if (this.#hasGivenUp || !silence.knows(connection)) await timeout.limit(timeout.silenceDeadline(), silence.identify(connection))
    let isOver = false
    const listen = (): ReturnType<AcquireTimeout['start']> => timeout.start(() => { void ask() }, timeout.silenceDeadline())
    const ask = async (): Promise<void> => {
      const isLost = await timeout.limit(timeout.deadline(), silence.isLost(connection)).catch(() => false)
      if (isOver) return
      if (isLost) await this.#giveUp(inUse)
      else wait = listen()
    }
    let wait = listen()
    try {
      return await inUse.send(query)
    } finally {
      isOver = true
      timeout.clear(wait)
    }
  }

  /** One that has just answered is not lost, whatever is said of it. */
  async #giveUp (inUse: ConnectionInUse): Promise<void> {
    if (this.#hasGivenUp) {
      this.#silence.distrust()
      return
    }
    this.#hasGivenUp = true
    await inUse.destroy(lost())
  }
}
