import { AsyncLocalStorage } from 'node:async_hooks'
import { AcquireTimeoutError } from '../errors/errors.ts'

/** As they are from the start: a timer that a user's test has faked would serve nobody after that test. */
const { setTimeout } = globalThis
const now = performance.now.bind(performance)

/** Somebody who waits for a pooled connection. */
interface Wait {
  /** When it has lasted long enough, on the clock of `performance.now()`. */
  readonly deadline: number
  readonly refuse: (error: Error) => void
  /** What it was refused with. */
  error?: Error
}

/**
 * How long one database's pool may keep somebody waiting. All wait equally long, so the first to come is the first to give up, and
 * one timer serves them all: most get a connection at once, and a timer for each would cost more than that.
 */
export class Patience {
  readonly milliseconds: number
  readonly #waiting = new Set<Wait>()
  /** The timer belongs to nobody's scope. */
  readonly #outside = AsyncLocalStorage.snapshot()
  #timer: NodeJS.Timeout | undefined

  constructor (milliseconds: number) {
    this.milliseconds = milliseconds
  }

  /** @param refuse is called with an AcquireTimeoutError when it lasts too long */
  start (refuse: (error: Error) => void): Wait {
    const wait = { deadline: now() + this.milliseconds, refuse }
    this.#waiting.add(wait)
    if (this.#timer === undefined) this.#arm(this.milliseconds)
    else if (this.#waiting.size === 1) this.#timer.ref()
    return wait
  }

  /** @throws AcquireTimeoutError when it has lasted too long */
  end (wait: Wait): void {
    this.stop(wait)
    if (wait.error !== undefined) throw wait.error
  }

  /** @returns whether it was still waited for */
  stop (wait: Wait): boolean {
    if (!this.#waiting.delete(wait)) return false
    if (this.#waiting.size === 0) this.#timer?.unref()
    return true
  }

  #arm (delay: number): void {
    this.#timer = this.#outside(setTimeout, () => this.#giveUp(), Math.ceil(delay))
  }

  #giveUp (): void {
    this.#timer = undefined
    for (const wait of this.#waiting) {
      const left = wait.deadline - now()
      if (left > 0) {
        this.#arm(left)
        return
      }
      this.#waiting.delete(wait)
      wait.error = new AcquireTimeoutError(this.milliseconds)
      wait.refuse(wait.error)
    }
  }
}
