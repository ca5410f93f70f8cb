import type { FastifyReply } from 'fastify'

/**
 * How long code has whose end nobody can see, in milliseconds, before it counts as ended: a handler that has returned its reply or uses
 * callbacks, a hook, a parser. A statement that runs counts as work.
 */
export const UNSEEN_LIMIT = 2_000

/** What a handler came to. */
export type HandlerResult = { readonly value: unknown } | { readonly error: unknown }

/** What is known of a handler that runs or has run, and who is told of its end. */
export interface HandlerOwner {
  /** What it returned, until the reply is sent: a request that is garbage but old would keep what it has loaded from being collected with the young. */
  readonly returned: unknown
  /** Whether a reply was begun since it was called. */
  readonly hasSent: boolean
  /** Whether its reply is sent by other code, so that its own end says nothing. */
  readonly isAwaited: boolean
  /** How long it may run, in milliseconds, where Fastify does not see to it: it stops its own timer when the client leaves. 0 is no limit. */
  readonly timeLimit: number
  /** Whether a statement runs. */
  readonly isBusy: boolean
  /** Fastify has had its chance to send what it came to. */
  handlerEnded (result: HandlerResult): void
  /** Nobody can see its end, and its time is up. */
  handlerLost (): void
}

/**
 * The end of a request's handler, where it is what the unit of work ends with: Fastify may never call `onSend`, because the client has left,
 * or will not, because the reply was taken over. An error handler that is called meanwhile takes the handler's place.
 */
export class HandlerEnd {
  readonly #owner: HandlerOwner
  readonly #reply: FastifyReply
  /** Whether its end is told of, whatever it is. */
  #isWatched = false
  /** The promise of it that is waited for, and what came of it, until that is told. */
  #followed: Promise<unknown> | undefined
  #result: HandlerResult | undefined
  #isTold = false
  #timer: NodeJS.Timeout | undefined

  constructor (owner: HandlerOwner, reply: FastifyReply) {
    this.#owner = owner
    this.#reply = reply
  }

  /** Whether its end is going to be told of. */
  get isPending (): boolean {
    return this.#isWatched && this.#isSeen && !this.#isTold
  }

  /** The handler works on something that ends with it where it writes the reply by hand. */
  follow (): void {
    const { returned } = this.#owner
    if (!(returned instanceof Promise) || returned === this.#followed) return
    this.#followed = returned
    this.#isTold = false
    const settled = (result: HandlerResult) => {
      if (returned !== this.#followed) return
      this.#result = result
      if (this.#isWatched || ('value' in result && result.value === undefined && this.#isByHand)) this.#tell(returned, result)
    }
    returned.then(value => { settled({ value }) }, (error: unknown) => { settled({ error }) })
  }

  /** The handler has returned, or waits for its reply: watches it from now on, if it writes the reply by hand, or goes on watching. */
  changed (): void {
    if (this.#isWatched || (!this.#isSeen && this.#isByHand)) this.watch()
  }

  /** From now on its end is told of. */
  watch (): void {
    this.#isWatched = true
    this.follow()
    this.limit(this.isPending ? this.#owner.timeLimit : UNSEEN_LIMIT)
    if (this.#followed !== undefined && this.#result !== undefined) this.#tell(this.#followed, this.#result)
  }

  /** Limits the time until its end, which nobody can see, or none may come; 0 is no limit. */
  limit (milliseconds = UNSEEN_LIMIT): void {
    clearTimeout(this.#timer)
    if (milliseconds > 0) this.#timer = setTimeout(() => { this.#expired() }, milliseconds)
  }

  /** It is over, whatever it still does. */
  close (): void {
    this.#isWatched = false
    this.#followed = this.#result = undefined
    clearTimeout(this.#timer)
  }

  get #isSeen (): boolean {
    return this.#owner.returned instanceof Promise && !this.#owner.isAwaited
  }

  /** Whether it has begun to write the reply by itself. */
  get #isByHand (): boolean {
    return this.#reply.raw.headersSent && !this.#owner.hasSent
  }

  /** Fastify's own reaction comes first. */
  #tell (handler: Promise<unknown>, result: HandlerResult): void {
    if (this.#isTold || this.#owner.isAwaited) return
    setImmediate(() => {
      if (this.#followed !== handler) return
      this.#isTold = true
      clearTimeout(this.#timer)
      this.#owner.handlerEnded(result)
    })
  }

  #expired (): void {
    if (!this.isPending && this.#owner.isBusy) this.limit()
    else this.#owner.handlerLost()
  }
}

/** What to give Fastify of what a handler has returned. A thenable is asked once only: some start anew each time. */
export function promised (returned: unknown, reply: FastifyReply): unknown {
  return isForeign(returned, reply) ? Promise.resolve(returned) : returned
}

/** Whether it is a thenable that is neither a promise nor the reply, which Fastify knows. */
function isForeign (returned: unknown, reply: FastifyReply): boolean {
  return returned !== reply && !(returned instanceof Promise) && typeof (Object(returned) as { then?: unknown }).then === 'function'
}
