/**
 * The time of a simulation: it stands still while anything can be done, and goes on to the next timer when nothing can. To be imported before whatever
 * takes timers: what others have kept of the real ones is not seen here.
 */
import { AsyncResource } from 'node:async_hooks'
import { createRequire, syncBuiltinESMExports } from 'node:module'

type Callback = (...args: unknown[]) => unknown

const { setImmediate: reallyNext, Date: RealDate } = globalThis
const require = createRequire(import.meta.url)
const timers = require('node:timers') as Record<string, unknown>
const promises = require('node:timers/promises') as Record<string, unknown>

/** Where a simulation begins, as a date. */
const EPOCH = RealDate.UTC(2026, 0, 1)

/** What is to be done at some time; of the same time, what was asked for first. */
class Timer {
  at: number
  order: number
  isArmed = false
  readonly #clock: Clock
  readonly #delay: number
  readonly #run: () => unknown
  readonly #repeats: boolean
  #isReferenced = true

  constructor (clock: Clock, callback: Callback, delay: unknown, args: unknown[], repeats = false) {
    const milliseconds = Number(delay)
    this.#clock = clock
    this.#delay = milliseconds >= 1 && milliseconds < 2 ** 31 ? milliseconds : 1
    this.#run = AsyncResource.bind(() => callback(...args))
    this.#repeats = repeats
    this.at = this.order = 0
    this.refresh()
  }

  refresh (): this {
    this.#clock.arm(this, this.#delay)
    return this
  }

  fire (): void {
    this.isArmed = false
    if (this.#repeats) this.refresh()
    this.#run()
  }

  ref (): this {
    this.#isReferenced = true
    return this
  }

  unref (): this {
    this.#isReferenced = false
    return this
  }

  hasRef (): boolean {
    return this.#isReferenced
  }

  close (): this {
    this.#clock.disarm(this)
    return this
  }

  [Symbol.toPrimitive] (): number {
    return this.order
  }

  [Symbol.dispose] (): void {
    this.close()
  }
}

class Clock {
  /** Milliseconds since the simulation has begun. */
  now = 0
  /** How far the calendar is off, in milliseconds: it can be set while timers run on. */
  skew = 0
  #made = 0
  readonly #timers: Timer[] = []
  #immediates: { run: () => unknown, isCleared: boolean }[] = []

  get date (): number {
    return Math.floor(EPOCH + this.now + this.skew)
  }

  /** Those that nobody has cleared, and that would keep a process alive. */
  get armed (): number {
    return this.#timers.filter(timer => timer.hasRef()).length
  }

  /** Begins anew. */
  reset (): void {
    for (const timer of this.#timers) timer.isArmed = false
    this.#timers.length = 0
    this.#immediates = []
    this.now = this.skew = this.#made = 0
  }

  after (delay: unknown, callback: Callback, ...args: unknown[]): Timer {
    return new Timer(this, callback, delay, args)
  }

  async sleep<T> (delay: number, value?: T): Promise<T | undefined> {
    await new Promise<void>(resolve => { this.after(delay, () => { resolve() }) })
    return value
  }

  every (delay: unknown, callback: Callback, ...args: unknown[]): Timer {
    return new Timer(this, callback, delay, args, true)
  }

  immediate (callback: Callback, ...args: unknown[]): object {
    const immediate = { run: AsyncResource.bind(() => callback(...args)), isCleared: false, ref () { return this }, unref () { return this }, hasRef: () => true }
    this.#immediates.push(immediate)
    return immediate
  }

  clearImmediate (immediate: { isCleared?: boolean } | undefined): void {
    if (immediate !== undefined) immediate.isCleared = true
  }

  clear (timer: Timer | undefined | null): void {
    if (timer instanceof Timer) this.disarm(timer)
  }

  arm (timer: Timer, delay: number): void {
    this.disarm(timer)
    timer.at = this.now + delay
    timer.order = ++this.#made
    timer.isArmed = true
    // Most are the last: a walk from the end is short.
    let index = this.#timers.length
    while (index > 0 && (this.#timers[index - 1] as Timer).at > timer.at) index--
    this.#timers.splice(index, 0, timer)
  }

  disarm (timer: Timer): void {
    if (!timer.isArmed) return
    timer.isArmed = false
    this.#timers.splice(this.#timers.indexOf(timer), 1)
  }

  /**
   * Lets time pass until `isOver`, or until nothing is left that could happen, or the time is up.
   * @returns whether it is over
   */
  async run (isOver: () => boolean, until = Infinity): Promise<boolean> {
    for (;;) {
      // All microtasks and ticks, and those that they make, come before it.
      await new Promise(resolve => { reallyNext(resolve) })
      if (isOver()) return true
      const immediate = this.#immediates.shift()
      if (immediate !== undefined) {
        if (!immediate.isCleared) immediate.run()
        continue
      }
      const [timer] = this.#timers
      if (timer === undefined || timer.at > until) return false
      this.#timers.shift()
      this.now = Math.max(this.now, timer.at)
      timer.fire()
    }
  }
}

export const clock = new Clock()

class SimulatedDate extends RealDate {
  constructor (...args: [] | ConstructorParameters<DateConstructor>) {
    if (args.length === 0) super(clock.date)
    else super(...args)
  }

  static override now (): number {
    return clock.date
  }
}

const simulated = {
  setTimeout: (callback: Callback, delay?: number, ...args: unknown[]) => clock.after(delay, callback, ...args),
  clearTimeout: clock.clear.bind(clock),
  setInterval: (callback: Callback, delay?: number, ...args: unknown[]) => clock.every(delay, callback, ...args),
  clearInterval: clock.clear.bind(clock),
  setImmediate: clock.immediate.bind(clock),
  clearImmediate: clock.clearImmediate.bind(clock)
}

Object.assign(globalThis, simulated, { Date: SimulatedDate })
Object.assign(timers, simulated)
Object.assign(promises, { setTimeout: clock.sleep.bind(clock) })
performance.now = () => clock.now
syncBuiltinESMExports()
