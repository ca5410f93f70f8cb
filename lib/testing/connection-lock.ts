import { AcquireTimeoutError } from '../errors/errors.ts'
import { currentScope } from '../scope/registry.ts'
import type { Scope } from '../scope/scope.ts'

/** Somebody who was given the connection. */
export interface Holder {
  /** The scope that asked for it, if any. */
  readonly scope: Scope | undefined
}

/** What runs on the connection now: a statement, or the end of a transaction. */
interface Command {
  readonly holder: Holder
  readonly over: Promise<void>
  /** Breaks it off at once, where that can be done: a query stream whose reader may never come back. */
  close?: () => Promise<unknown>
  end (): void
}

/**
 * Who may use the one connection. It is given to one unit of work at a time, and to those that are opened inside it: the same
 * scope, or one that was opened in it. What is done outside any scope encloses everything. Who came first is asked first.
 */
export class ConnectionLock {
  readonly #acquireTimeout: number
  /** Each is inside those before it. */
  readonly #holders: Holder[] = []
  #command: Command | undefined
  #changed = Promise.withResolvers<void>()
  #closed: Error | undefined

  /** @param acquireTimeout how long to wait, in milliseconds */
  constructor (acquireTimeout: number) {
    this.#acquireTimeout = acquireTimeout
  }

  /** What runs now. */
  get command (): Command | undefined {
    return this.#command
  }

  /** @throws AcquireTimeoutError when the connection does not become free in time, and what `close()` was given */
  async acquire (): Promise<Holder> {
    const scope = currentScope()
    return await this.#waitFor(() => {
      if (!this.#isInnermost(scope)) return undefined
      const holder = { scope }
      this.#holders.push(holder)
      return holder
    }, this.#acquireTimeout)
  }

  release (holder: Holder): void {
    this.#holders.splice(this.#holders.indexOf(holder), 1)
    this.#wake()
  }

  /**
   * Waits until nothing runs, and nobody is inside of the holder whom the caller is not inside of, too. What ends a transaction does
   * not wait for those, and has no time limit.
   * @throws as `acquire`
   */
  async startCommand (holder: Holder, what: 'statement' | 'end'): Promise<Command> {
    const scope = currentScope()
    return await this.#waitFor(() => {
      const isFirst = what === 'end' || this.#holders.at(-1) === holder || this.#isInnermost(scope)
      if (this.#command !== undefined || !isFirst) return undefined
      this.#command = this.#commandOf(holder)
      return this.#command
    }, what === 'end' ? undefined : this.#acquireTimeout)
  }

  /** Nobody is let in any more. The first reason stays. */
  close (error: Error): void {
    this.#closed ??= error
    this.#wake()
  }

  /** @throws what `close()` was given */
  assertOpen (): void {
    if (this.#closed !== undefined) throw this.#closed
  }

  /**
   * Waits until `take` gives something: it takes what is needed if that is free, and is asked now and after each change.
   * @param timeout how long to wait, in milliseconds; for ever without it
   */
  async #waitFor<T> (take: () => T | undefined, timeout: number | undefined): Promise<T> {
    const late = Promise.withResolvers<never>()
    const timer = timeout === undefined ? undefined : setTimeout(() => late.reject(new AcquireTimeoutError(timeout)), timeout)
    try {
      for (;;) {
        this.assertOpen()
        const taken = take()
        if (taken !== undefined) return taken
        await Promise.race([this.#changed.promise, late.promise])
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** Something may be free now. */
  #wake (): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  #commandOf (holder: Holder): Command {
    const { promise, resolve } = Promise.withResolvers<void>()
    return {
      holder,
      over: promise,
      end: () => {
        this.#command = undefined
        resolve()
        this.#wake()
      }
    }
  }

  /** Whether `scope` is inside of whoever has the connection. */
  #isInnermost (scope: Scope | undefined): boolean {
    const last = this.#holders.at(-1)
    return last === undefined || isInside(scope, last.scope)
  }
}

function isInside (scope: Scope | undefined, outer: Scope | undefined): boolean {
  return scope === outer || outer === undefined || (scope !== undefined && isInside(scope.parent, outer))
}
