import { AsyncLocalStorage } from 'node:async_hooks'
import { Bag, type BagMember } from '../bag.ts'
import { AcquireTimeoutError } from '../errors/errors.ts'

/** As they are from the start: a timer that a user's test has faked would serve nobody after that test. */
const { setTimeout } = globalThis
const now = performance.now.bind(performance)

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
 * for each would cost more than that.
 */
export class AcquireTimeout {
  readonly milliseconds: number
  readonly #waiting = new Bag<Wait>()
  /** The timer belongs to nobody's scope. */
  readonly #outside = AsyncLocalStorage.snapshot()
  #timer: NodeJS.Timeout | undefined

  constructor (milliseconds: number) {
    this.milliseconds = milliseconds
  }

  /** @param refuse is called with an AcquireTimeoutError when it lasts too long */
  start (refuse: (error: Error) => void): Wait {
    const wait = { deadline: now() + this.milliseconds, refuse, index: -1 }
    this.#waiting.add(wait)
    if (this.#timer === undefined) this.#arm(this.milliseconds)
    else if (this.#waiting.size === 1) this.#timer.ref()
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

  #arm (delay: number): void {
    this.#timer = this.#outside(setTimeout, () => this.#refuseLate(), Math.ceil(delay))
  }

  #refuseLate (): void {
    this.#timer = undefined
    const time = now()
    const late: Wait[] = []
    let next = Infinity
    for (const wait of this.#waiting) {
      if (wait.deadline <= time) late.push(wait)
      else next = Math.min(next, wait.deadline)
    }
    if (next < Infinity) this.#arm(next - time)
    for (const wait of late) {
      this.#waiting.delete(wait)
      wait.error = new AcquireTimeoutError(this.milliseconds)
      wait.refuse(wait.error)
    }
  }
}
