import type { FastifyReply } from 'fastify'

/**
 * How long code has whose end nobody can see, in milliseconds, before it counts as ended: a handler that has returned its reply or uses
 * callbacks, a hook, a parser. A statement that runs counts as work.
 */
export const UNSEEN_LIMIT = 2_000

/** What a handler came to. */
export type HandlerResult = { readonly value: unknown } | { readonly error: unknown }

/** Who is told of the end of a handler. */
export interface HandlerOwner {
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
  /** What it returned, until the reply is sent: a request that is garbage but old would keep what it has loaded from being collected with the young. */
  #returned: unknown
  /** Whether a reply was begun since it was called. */
  #hasSent = false
  /** Whether its reply is sent by other code, so that its own end says nothing. */
  #isAwaited = false
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
    return this.#isWatched && this.isPromised && !this.#isAwaited && !this.#isTold
  }

  /** Whether there is a promise of it. */
  get isPromised (): boolean {
    return this.#returned instanceof Promise
  }

  /** Whether it can have ended without a reply. */
  get mayBeSilent (): boolean {
    return !this.#hasSent && !this.#isAwaited
  }

  begun (): void {
    this.#hasSent = this.#isAwaited = false
  }

  /**
   * @param returned what it gives Fastify. A thenable is asked once only: some start anew each time.
   * @returns what to give Fastify in its place
   */
  returned (returned: unknown): unknown {
    const result = isForeign(returned, this.#reply) ? Promise.resolve(returned) : returned
    // A wrapper of a handler may return nothing, and have called it.
    if (result instanceof Promise || !this.isPromised) this.#returned = result
    if (this.#isWatched || (!this.isPromised && this.#isByHand)) this.watch()
    return result
  }

  sends (): void {
    this.#hasSent = true
  }

  isAwaited (): void {
    this.#isAwaited = true
    if (this.#isWatched || this.#isByHand) this.watch()
  }

  /** It works on something that ends with it where it writes the reply by hand. */
  follow (): void {
    const returned = this.#returned
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

  /** From now on its end is told of. */
  watch (): void {
    this.#isWatched = true
    this.follow()
    // Fastify stops its own timer when the client leaves.
    this.limit(this.isPending ? Number(this.#reply.request.routeOptions.handlerTimeout) : UNSEEN_LIMIT)
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
    this.#returned = this.#followed = this.#result = undefined
    clearTimeout(this.#timer)
  }

  /** Whether it has begun to write the reply by itself. */
  get #isByHand (): boolean {
    return this.#reply.raw.headersSent && !this.#hasSent
  }

  /** Fastify's own reaction comes first. */
  #tell (handler: Promise<unknown>, result: HandlerResult): void {
    if (this.#isTold || this.#isAwaited) return
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

/** Whether it is a thenable that is neither a promise nor the reply, which Fastify knows. */
function isForeign (returned: unknown, reply: FastifyReply): boolean {
  return returned !== reply && !(returned instanceof Promise) && typeof (Object(returned) as { then?: unknown }).then === 'function'
}
