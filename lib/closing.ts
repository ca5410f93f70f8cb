import type { OpenScopes } from './open-scopes.ts'
import type { Log } from './scope.ts'
import type { Loans } from './transaction/loans.ts'
import { within } from './within.ts'

/**
 * How long scopes that are ended by force may take to roll back, in milliseconds: enough for a server that answers. One that
 * does not, because it is frozen or out of reach, must not hold up a process that is told to go.
 */
const ROLLBACK_GRACE = 1_000

/** How an application that closes parts with its scopes: they have a time limit, then they are rolled back. */
export class Closing {
  readonly #scopes: OpenScopes
  readonly #loans: Loans
  readonly #over = Promise.withResolvers<void>()
  readonly #timer: NodeJS.Timeout

  /**
   * Starts the time limit.
   * @param onOver called when it is over, before scopes are ended
   */
  constructor (scopes: OpenScopes, loans: Loans, closeTimeout: number, log: Log, onOver: () => void) {
    this.#scopes = scopes
    this.#loans = loans
    this.#timer = setTimeout(() => {
      onOver()
      if (scopes.size > 0) log.error({ closeTimeout, openScopes: scopes.kinds }, 'database scopes were still open when closeTimeout was over, and are rolled back')
      this.#over.resolve(this.#end())
    }, closeTimeout)
  }

  /** Waits until no scope is left, or those that are left were ended. */
  async wait (): Promise<void> {
    await Promise.race([this.#scopes.idle(), this.#over.promise])
    clearTimeout(this.#timer)
  }

  async #end (): Promise<void> {
    if (!await within(ROLLBACK_GRACE, this.#scopes.end())) await this.#loans.discard()
  }
}
