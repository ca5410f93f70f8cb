import type { DatabaseConnection } from 'kysely'
import type { AcquireTimeout } from './acquire-timeout.ts'
import type { ConnectionInUse } from './pooled-connection.ts'
import { lost, type Silence } from './silence.ts'

/**
 * Watches over one plain read outside the transaction, until its answer has come. When the server does not work on it, its connection is
 * destroyed, once: what is tried after that has to answer first, and is waited for.
 */
export class ReadWatch {
  readonly #silence: Silence | undefined
  readonly #timeout: AcquireTimeout
  #hasGivenUp = false

  /** @param silence undefined where nobody can be asked: then it is waited for as long as it takes */
  constructor (silence: Silence | undefined, timeout: AcquireTimeout) {
    this.#silence = silence
    this.#timeout = timeout
  }

  /**
   * Runs `read` on a connection.
   * @returns undefined where nobody can be asked
   */
  over<T> (inUse: ConnectionInUse, connection: DatabaseConnection, read: (connection: DatabaseConnection) => Promise<T>): Promise<T> | undefined {
    return this.#silence === undefined ? undefined : this.#over(this.#silence, inUse, connection, read)
  }

  async #over<T> (silence: Silence, inUse: ConnectionInUse, connection: DatabaseConnection, read: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const timeout = this.#timeout
    if (this.#hasGivenUp || !silence.knows(connection)) await timeout.limit(timeout.silenceDeadline(), silence.identify(connection))
    let isOver = false
    const listen = (): ReturnType<AcquireTimeout['start']> => timeout.start(() => { void ask() }, timeout.silenceDeadline())
    const ask = async (): Promise<void> => {
      const isLost = await timeout.limit(timeout.deadline(), silence.isLost(connection)).catch(() => false)
      if (isOver) return
      if (isLost) await this.#giveUp(silence, inUse)
      else wait = listen()
    }
    let wait = listen()
    try {
      return await read(connection)
    } finally {
      isOver = true
      timeout.clear(wait)
    }
  }

  /** One that has just answered is not lost, whatever is said of it. */
  async #giveUp (silence: Silence, inUse: ConnectionInUse): Promise<void> {
    if (this.#hasGivenUp) {
      silence.distrust()
      return
    }
    this.#hasGivenUp = true
    await inUse.destroy(lost())
  }
}
