import { AsyncLocalStorage } from 'node:async_hooks'
import { Bag, type BagMember } from '../bag.ts'
import { AcquireTimeoutError } from '../errors/errors.ts'

/** As they are from the start: a timer that a user's test has faked would serve nobody after that test. */
const { setTimeout, clearTimeout } = globalThis
const now = performance.now.bind(performance)

/** What part of it a connection may take to say anything at all, and what part when one has said nothing already: then others will lead nowhere, too. */
const PART = 8
const SMALLER_PART = 32

/** What a server that has much to do may take to say anything, in milliseconds. */
const SHORTEST_SILENCE = 200

/** Somebody who waits for a pooled connection. */
interface Wait extends BagMember {
  /** When it has lasted long enough, on the clock of `performance.now()`. */
  readonly deadline: number
  readonly refuse: (error: Error) => void
  /** What it was refused with. */
  error?: Error
}

/**
 * How long the pool of one database may keep somebody waiting. One timer serves all who wait: most get a connection at once, and a timer
 * for each would cost more than that. All times are on the clock of `performance.now()`.
 */
export class AcquireTimeout {
  readonly milliseconds: number
  readonly #waiting = new Bag<Wait>()
  /** The timer belongs to nobody's scope. */
  readonly #outside = AsyncLocalStorage.snapshot()
  #timer: NodeJS.Timeout | undefined
  /** When the timer fires. */
  #firesAt = Infinity

  constructor (milliseconds: number) {
    this.milliseconds = milliseconds
  }

  /** When somebody who begins to wait now has waited long enough. */
  deadline (): number {
    return now() + this.milliseconds
  }

  /**
   * Until when a connection that is asked now may be silent.
   * @param silent how many have been before it
   */
  silenceDeadline (silent = 0): number {
    const part = silent === 0 ? Math.max(this.milliseconds / PART, SHORTEST_SILENCE) : this.milliseconds / SMALLER_PART
    return now() + Math.min(part, this.milliseconds / 2)
  }

  /** @param refuse is called with an AcquireTimeoutError when it lasts too long */
  start (refuse: (error: Error) => void, deadline = this.deadline()): Wait {
    const wait = { deadline, refuse, index: -1 }
    this.#waiting.add(wait)
    if (deadline < this.#firesAt) this.#arm(deadline)
    else if (this.#waiting.size === 1) this.#timer?.ref()
    return wait
  }

  /** @returns whether it was still waited for */
  clear (wait: Wait): boolean {
    if (!this.#waiting.delete(wait)) return false
    if (this.#waiting.size === 0) this.#timer?.unref()
    return true
  }

  /** @throws AcquireTimeoutError when it has lasted too long */
  clearInTime (wait: Wait): void {
    this.clear(wait)
    if (wait.error !== undefined) throw wait.error
  }

  /**
   * Waits for `work`, but no longer than to the deadline. What fails later is nobody's business any more.
   * @throws AcquireTimeoutError when it lasts too long
   */
  limit<T> (deadline: number, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const wait = this.start(reject, deadline)
      work.then(
        value => { this.clear(wait); resolve(value) },
        (error: Error) => { this.clear(wait); reject(error) })
    })
  }

  #arm (time: number): void {
    clearTimeout(this.#timer)
    this.#firesAt = time
    this.#timer = this.#outside(setTimeout, () => this.#refuseLate(), Math.max(1, Math.ceil(time - now())))
  }

  #refuseLate (): void {
    this.#firesAt = Infinity
    const time = now()
    const late: Wait[] = []
    let next = Infinity
    for (const wait of this.#waiting) {
      if (wait.deadline <= time) late.push(wait)
      else next = Math.min(next, wait.deadline)
    }
    if (next < Infinity) this.#arm(next)
    for (const wait of late) {
      this.#waiting.delete(wait)
      wait.error = new AcquireTimeoutError(this.milliseconds)
      wait.refuse(wait.error)
    }
  }
}
