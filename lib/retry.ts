import { setTimeout as sleep } from 'node:timers/promises'
import { isInDoubt, isTransient } from './error-kind.ts'
import { RetriesExhaustedError } from './errors.ts'
import type { Log } from './log.ts'
import type { ScopeHost } from './scope-purpose.ts'

/** How often work is done when it fails with a transient error, and how long to wait in between. */
export interface RetryOptions {
  /** How often at most, the first time included: 2 to 100. Default: 3. */
  attempts?: number | undefined
  /**
   * The longest wait before the second attempt, in milliseconds. It doubles with each attempt, up to 30 seconds, and the wait is a random part
   * of it. Default: 50.
   */
  backoff?: number | undefined
  /**
   * Decides in the place of the rule whether to go on after `error`.
   * @param isTransient what the rule says: a deadlock, a lock wait timeout, a serialization failure, a lost connection
   */
  when?: ((error: unknown, isTransient: boolean) => boolean) | undefined
}

const LONGEST_WAIT = 30_000

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
   * @param host keeps the application from closing meanwhile, unless it is in a hurry
   * @throws RetriesExhaustedError when it was the last
   */
  async pause (error: unknown, attempt: number, log: Log, host: ScopeHost): Promise<void> {
    const { attempts } = this
    const details = { err: error, attempt, attempts }
    if (attempt >= attempts) {
      log.error(details, 'a transient database error, after the last attempt')
      throw Object.assign(new RetriesExhaustedError(attempts), { cause: error })
    }
    // Full jitter: units of work that have disturbed each other must not come back together.
    const wait = Math.round(Math.random() * Math.min(LONGEST_WAIT, this.#backoff * 2 ** (attempt - 1)))
    log.warn({ ...details, wait }, 'a transient database error: rolled back, and done again')
    await waitIn(host, wait)
  }
}

/** Waits as a scope that can be ended. */
async function waitIn (host: ScopeHost, milliseconds: number): Promise<void> {
  const stop = new AbortController()
  const scope = { kind: 'db.run' as const, end: async () => stop.abort() }
  host.opened(scope)
  await sleep(milliseconds, undefined, { signal: stop.signal }).catch(() => undefined)
  host.closed(scope)
}
