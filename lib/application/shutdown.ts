import type { AfterWorks } from './after-works.ts'
import type { Log } from '../types.ts'
import type { OpenScopes } from './open-scopes.ts'
import { withTimeout } from '../timeout.ts'

/**
 * How long scopes that are ended by force may take to roll back, in milliseconds: enough for a server that answers. One that
 * does not, because it is frozen or out of reach, must not hold up a process that is told to go.
 */
const ROLLBACK_GRACE = 1_000

export interface ClosingSettings {
  /** How long scopes may go on, in milliseconds. */
  readonly closeTimeout: number
  readonly log: Log
  /** Called when the time limit is over, before scopes are ended. */
  readonly onOver: () => void
  /** Takes back by force the connections that the scopes have. */
  readonly discard: () => Promise<void>
}

/** How an application that closes parts with its scopes: they have a time limit, then they are rolled back. */
export class Closing {
  readonly #scopes: OpenScopes
  readonly #afterWorks: AfterWorks
  readonly #discard: () => Promise<void>
  readonly #over = Promise.withResolvers<void>()
  readonly #timer: NodeJS.Timeout

  /** Starts the time limit. */
  constructor (scopes: OpenScopes, afterWorks: AfterWorks, { closeTimeout, log, onOver, discard }: ClosingSettings) {
    this.#scopes = scopes
    this.#afterWorks = afterWorks
    this.#discard = discard
    this.#timer = setTimeout(() => {
      onOver()
      if (scopes.size > 0) log.error({ closeTimeout, openScopes: scopes.kinds }, 'database scopes were still open when closeTimeout was over, and are rolled back')
      if (afterWorks.size > 0) log.error({ closeTimeout, afterWorks: afterWorks.size }, 'work after the outcome of database scopes was still under way when closeTimeout was over')
      this.#over.resolve(this.#end())
    }, closeTimeout)
  }

  /** Waits until no scope is left, and no work after one, or those that are left were ended. */
  async wait (): Promise<void> {
    await Promise.race([this.#idle(), this.#over.promise])
    clearTimeout(this.#timer)
  }

  /** Each can start the other. */
  async #idle (): Promise<void> {
    while (this.#scopes.size + this.#afterWorks.size > 0) {
      await this.#scopes.idle()
      await this.#afterWorks.idle()
    }
  }

  async #end (): Promise<void> {
    if (!await withTimeout(ROLLBACK_GRACE, this.#scopes.destroy())) await this.#discard()
  }
}
