import { AcquireTimeoutError } from '../errors/errors.ts'
import { currentScope } from '../scope/registry.ts'
import type { Scope } from '../scope/scope.ts'
import { WaitingRoom } from './waiting-room.ts'

/** Somebody who was given the connection. */
export interface Guest {
  /** The scope that asked for it, if any. */
  readonly scope: Scope | undefined
}

/** What runs on the connection now. */
export interface Turn {
  readonly guest: Guest
  readonly ended: Promise<void>
  /** Ends it at once, where that can be done: a query stream whose reader may never come back. */
  cut?: () => Promise<unknown>
  end (): void
}

/**
 * Who may use the one connection. It is given to one unit of work at a time, and to those that are opened inside it: the same
 * scope, or one that was opened in it. What is done outside any scope encloses everything.
 */
export class Admission {
  readonly #patience: number
  readonly #room = new WaitingRoom()
  /** Each is inside those before it. */
  readonly #guests: Guest[] = []
  #turn: Turn | undefined

  /** @param patience how long to wait, in milliseconds */
  constructor (patience: number) {
    this.#patience = patience
  }

  /** What runs now. */
  get turn (): Turn | undefined {
    return this.#turn
  }

  /** @throws what `close()` was given */
  assertOpen (): void {
    this.#room.assertOpen()
  }

  /** @throws AcquireTimeoutError when the connection does not become free in time, and what `close()` was given */
  async admit (): Promise<Guest> {
    const scope = currentScope()
    return await this.#room.enter(() => {
      if (!this.#isInnermost(scope)) return undefined
      const guest = { scope }
      this.#guests.push(guest)
      return guest
    }, this.#timeout())
  }

  leave (guest: Guest): void {
    this.#guests.splice(this.#guests.indexOf(guest), 1)
    this.#room.changed()
  }

  /**
   * Waits for the turn: until nothing runs, and nobody is inside of the guest whom the caller is not inside of, too. What ends
   * a transaction does not wait for those, and has no time limit.
   * @throws as `admit`
   */
  async take (guest: Guest, what: 'statement' | 'end'): Promise<Turn> {
    const scope = currentScope()
    return await this.#room.enter(() => {
      const isFirst = what === 'end' || this.#guests.at(-1) === guest || this.#isInnermost(scope)
      if (this.#turn !== undefined || !isFirst) return undefined
      this.#turn = this.#begin(guest)
      return this.#turn
    }, what === 'end' ? undefined : this.#timeout())
  }

  /** Lets nobody in any more. */
  close (error: Error): void {
    this.#room.close(error)
  }

  #timeout () {
    return { after: this.#patience, error: new AcquireTimeoutError(this.#patience) }
  }

  #begin (guest: Guest): Turn {
    const { promise, resolve } = Promise.withResolvers<void>()
    return {
      guest,
      ended: promise,
      end: () => {
        this.#turn = undefined
        resolve()
        this.#room.changed()
      }
    }
  }

  /** Whether `scope` is inside of whoever has the connection. */
  #isInnermost (scope: Scope | undefined): boolean {
    const last = this.#guests.at(-1)
    return last === undefined || isInside(scope, last.scope)
  }
}

function isInside (scope: Scope | undefined, outer: Scope | undefined): boolean {
  return scope === outer || outer === undefined || (scope !== undefined && isInside(scope.parent, outer))
}
