import { setTimeout as sleep } from 'node:timers/promises'
import { Bag } from '../bag.ts'
import type { AfterWork } from '../events/callbacks.ts'
import type { InFlightWork } from '../scope/contracts.ts'
import { inScope } from '../scope/registry.ts'
import { withTimeout } from '../waiting.ts'
import type { Log, ScopeInfo } from '../types.ts'

/**
 * How long scopes that are destroyed may take to roll back, in milliseconds: enough for a server that answers. One that does not,
 * because it is frozen or out of reach, must not hold up a process that is told to go.
 */
const ROLLBACK_GRACE = 1_000

/** What keeps one application from closing: scopes with something to clean up, the wait before another attempt, work after an outcome. */
export class InFlight {
  readonly #all = new Bag<InFlightWork>()
  #idle: PromiseWithResolvers<void> | undefined

  /** How much there is of each kind. */
  count (): Record<InFlightWork['kind'], number> {
    const counts = { request: 0, 'db.run': 0, 'db.open': 0, callback: 0 }
    for (const { kind } of this.#all) counts[kind]++
    return counts
  }

  countScopes (): number {
    return this.#all.size - this.count().callback
  }

  /** Whether the scope that tells this of itself is among it. */
  has (scope: ScopeInfo): boolean {
    return this.#all.some(({ info }) => info === scope)
  }

  /** It can be there already: a scope says it for each of its sessions. */
  add (work: InFlightWork): void {
    if (!this.#all.has(work)) this.#all.add(work)
  }

  delete (work: InFlightWork): void {
    this.#all.delete(work)
    if (this.#all.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** Waits for so many milliseconds, or until it is destroyed. Counts as a `db.run()`. */
  async pause (milliseconds: number): Promise<void> {
    const stop = new AbortController()
    const slept = sleep(milliseconds, undefined, { signal: stop.signal }).catch(() => undefined)
    await this.#until(slept, 'db.run', async () => stop.abort())
  }

  /**
   * Starts work after an outcome, all of it, in its order, once the reply has had its chance. Nothing of it stops or delays anything else.
   * @param since a promise that it waits for, which never rejects
   */
  start (works: readonly AfterWork[], log: Log, since?: Promise<unknown>): void {
    for (const work of works) {
      const done = later(work, since).catch((err: unknown) => log.error({ err }, 'work after the outcome of a database scope failed'))
      // It is the application's own, and nothing can end it.
      void this.#until(done, 'callback', async () => {})
    }
  }

  /** Waits until there is nothing. */
  async idle (): Promise<void> {
    while (this.#all.size > 0) {
      this.#idle ??= Promise.withResolvers()
      await this.#idle.promise
    }
  }

  /** Destroys all, whatever it does. */
  async destroy (): Promise<void> {
    await Promise.all([...this.#all].map(work => work.destroy()))
  }

  async #until (done: Promise<unknown>, kind: InFlightWork['kind'], destroy: InFlightWork['destroy']): Promise<void> {
    const work = { index: -1, kind, destroy }
    this.add(work)
    await done
    this.delete(work)
  }
}

/** The scope is over: what needs a database opens one of its own, with `db.run()`. */
async function later (work: AfterWork, since: Promise<unknown> | undefined): Promise<void> {
  await since
  await new Promise(setImmediate)
  await inScope(undefined, work)
}

/** What an application that closes needs of a connection pool. */
interface Pool {
  /** Resolves when what was waited for in vain has come and gone. */
  settled (): Promise<void>
  /** Takes back by force the connections that scopes have. */
  destroy (): Promise<void>
}

/** How an application that closes parts with what is in flight: it has a time limit, then its scopes are rolled back. */
export class Shutdown {
  readonly #serverClosed = Promise.withResolvers<void>()
  readonly #done: Promise<void>
  #isOver = false

  /**
   * Starts the time limit.
   * @param closeTimeout how long things may stay in flight, in milliseconds
   * @param pools where connections are that scopes have, or have waited for
   */
  constructor (inFlight: InFlight, closeTimeout: number, log: Log, pools: readonly Pool[]) {
    this.#done = this.#run(inFlight, closeTimeout, log, pools)
  }

  /** Whether nothing is in flight any more, or the time limit is over. */
  get isOver (): boolean {
    return this.#isOver
  }

  /** The server is closed, and nothing comes any more: waits until nothing is in flight, or what was left is destroyed. */
  async close (): Promise<void> {
    this.#serverClosed.resolve()
    await this.#done
  }

  async #run (inFlight: InFlight, closeTimeout: number, log: Log, pools: readonly Pool[]): Promise<void> {
    const isIdle = await withTimeout(closeTimeout, this.#idle(inFlight, pools))
    this.#isOver = true
    if (isIdle) return
    const { callback: afterWorks, request: requests, ...others } = inFlight.count()
    if (inFlight.countScopes() > 0) log.error({ closeTimeout, openScopes: { requests, ...others } }, 'database scopes were still open when closeTimeout was over, and are rolled back')
    if (afterWorks > 0) log.error({ closeTimeout, afterWorks }, 'work after the outcome of database scopes was still under way when closeTimeout was over')
    if (!await withTimeout(ROLLBACK_GRACE, inFlight.destroy())) await Promise.all(pools.map(pool => pool.destroy()))
  }

  async #idle (inFlight: InFlight, pools: readonly Pool[]): Promise<void> {
    await this.#serverClosed.promise
    await inFlight.idle()
    await Promise.all(pools.map(pool => pool.settled()))
  }
}
