import { isInDoubt } from '../errors/causes.ts'
import { isTransient } from '../session/error-kind.ts'
import { RetriesExhaustedError } from '../errors/errors.ts'
import type { Log } from '../types.ts'
import type { RetryOptions } from '../options/options.ts'

const LONGEST_WAIT = 30_000

/** Who can wait. */
interface Pausing {
  /** Waits for so many milliseconds, or less where the application is in a hurry to close. */
  pause (milliseconds: number): Promise<void>
}

/** A route's or a `db.run()`'s `retry`, with every default in its place. */
export class Retry {
  readonly attempts: number
  readonly #backoff: number
  readonly #when: (error: unknown, isTransient: boolean) => boolean

  constructor (options: number | RetryOptions) {
    const { attempts = 3, backoff = 50, when = (_error, isTransient) => isTransient }: RetryOptions = typeof options === 'number' ? { attempts: options } : options
    this.attempts = attempts
    this.#backoff = backoff
    this.#when = when
  }

  /** Whether work that failed with `error` could go through another time. Never when it may be committed already. */
  isWorthwhile (error: unknown): boolean {
    return !isInDoubt(error) && this.#when(error, isTransient(error)) === true
  }

  /**
   * What to do after attempt number `attempt` has failed with `error`, which is worth another one: logs it and waits.
   * @param host pauses
   * @throws RetriesExhaustedError when it was the last
   */
  async pause (error: unknown, attempt: number, log: Log, host: Pausing): Promise<void> {
    const { attempts } = this
    const details = { err: error, attempt, attempts }
    if (attempt >= attempts) {
      log.error(details, 'a transient database error, after the last attempt')
      throw Object.assign(new RetriesExhaustedError(attempts), { cause: error })
    }
    // Full jitter: units of work that have disturbed each other must not come back together.
    const wait = Math.round(Math.random() * Math.min(LONGEST_WAIT, this.#backoff * 2 ** (attempt - 1)))
    log.warn({ ...details, wait }, 'a transient database error: rolled back, and done again')
    await host.pause(wait)
  }
}
