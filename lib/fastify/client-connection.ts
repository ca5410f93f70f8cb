import type { FastifyReply } from 'fastify'
import type { Scope } from '../scope/scope.ts'
import type { Outcome } from '../types.ts'
import type { ReplyState } from './reply-state.ts'
import { isClosed } from './reply.ts'

/**
 * How long an `onResponse` hook may still use the session after the reply went out, in milliseconds. One that fails
 * keeps Fastify from calling the hooks behind it, ours among them.
 */
const ON_RESPONSE_GRACE = 1_000

/** What the end of a connection is told to. */
export interface Answering {
  readonly state: ReplyState
  /** What the handler has returned, if it has. */
  readonly handled: unknown
  cancelsOnAbort (): boolean
  /** The scope of the request: another one with each attempt of its handler. */
  currentScope (): Scope
  /** The client has left before a reply had gone out. */
  clientLeft (): void
  /** Carries out the outcome, that of the rule unless it is given, where no `onSend` has, and closes the scope. Never throws. */
  endAndClose (outcome?: Outcome): Promise<void>
}

/** The connection of a client whose request has a session. When it ends, the scope ends, also where Fastify calls no hook any more. */
export class ClientConnection {
  readonly #reply: FastifyReply
  readonly #answering: Answering

  constructor (reply: FastifyReply, answering: Answering) {
    this.#reply = reply
    this.#answering = answering
  }

  /** From now on its end is noticed; at once, where it has ended already. Called again, it does not count twice. */
  watch (): void {
    const { raw } = this.#reply
    raw.off('close', this.#end)
    if (isClosed(raw)) this.#end()
    else raw.once('close', this.#end)
  }

  /**
   * The client has gone, the handler runs on: `onSend` follows, unless it or its error handler returns nothing, which
   * Fastify does not send any more. Fastify has stopped its timer, but a handler's time is still limited.
   */
  awaitHandler (): void {
    const { handled } = this.#answering
    const { handlerTimeout } = this.#reply.request.routeOptions
    if (handlerTimeout !== undefined && handlerTimeout > 0) setTimeout(() => { void this.#answering.endAndClose('rollback') }, handlerTimeout)
    if (!(handled instanceof Promise)) return
    // Fastify's own reaction to the handler's end comes first.
    const ended = () => setImmediate(() => { void this.#answering.endAndClose() })
    handled.then(ended, ended)
  }

  readonly #end = (): void => {
    const scope = this.#answering.currentScope()
    if (this.#answering.state === 'sent') {
      if (!scope.isClosed) setTimeout(() => { void scope.close() }, ON_RESPONSE_GRACE)
      return
    }
    this.#answering.clientLeft()
    if (this.#answering.cancelsOnAbort()) void scope.cancel()
    // Hijacked, or ended by hand: no onSend will come.
    else if (scope.state === 'open' && this.#reply.sent) void this.#answering.endAndClose('rollback')
    else if (scope.state === 'open') this.awaitHandler()
    else if (scope.state !== 'ending') void scope.close()
  }
}
