import type { FastifyReply } from 'fastify'
import type { Outcome } from '../types.ts'
import { ClientConnection, isClosed, type Answering } from './client-connection.ts'
import { HandlerEnd, promised, UNSEEN_LIMIT, type HandlerOwner, type HandlerResult } from './handler-end.ts'
import type { ReplyListener } from './reply-methods.ts'
import type { ReplyScope } from './reply-scope.ts'
import type { ReplyState } from './reply-state.ts'

/** What is left to the reply of which this is a part. */
export interface UnattendedReply {
  readonly state: ReplyState
  leave (): void
  responded (): void
  /** Every `onResponse` hook has run. */
  close (): Promise<void> | undefined
  /** Records that the handler has failed. */
  fail (error: Error | undefined): void
  /** Carries out the outcome, that of the rule unless it is given, if there is none yet. Never throws. */
  endQuietly (outcome?: Outcome): Promise<void>
}

/**
 * The end of a unit of work where no `onSend` is sure to come: the client has left, the reply was taken over, or it has been sent and somebody
 * still works on the session.
 */
export class Unattended implements Answering, HandlerOwner, ReplyListener {
  returned: unknown
  hasSent = false
  /** The status with which a reply was begun, before any hook could change it. */
  statusBegun = 200
  isAwaited = false
  /** None where no session is used, no client leaves and no reply is taken over: that costs nothing. */
  #end: HandlerEnd | undefined
  readonly #answer: UnattendedReply
  readonly #scope: ReplyScope
  readonly #reply: FastifyReply
  #client: ClientConnection | undefined
  /** Who waits for the reply of a client that has left. */
  #waiting: (() => void)[] | undefined
  /** Whether nothing will come to `onSend` any more, and the outcome is there. */
  #isOver = false
  /** Ends the wait for the application's `onResponse` hooks. */
  #hooksLimit: NodeJS.Timeout | undefined
  /** How many of them run. */
  #responding = 0
  /** Whether all of them have run. */
  #isAnswered = false

  constructor (answer: UnattendedReply, scope: ReplyScope, reply: FastifyReply) {
    this.#answer = answer
    this.#scope = scope
    this.#reply = reply
  }

  get state (): ReplyState {
    return this.#answer.state
  }

  get timeLimit (): number {
    return this.state === 'gone' ? Number(this.#reply.request.routeOptions.handlerTimeout) : 0
  }

  get isBusy (): boolean {
    return this.#scope.made?.isBusy === true
  }

  /** Whether the handler's end is going to be told of. */
  get isPending (): boolean {
    return this.#end?.isPending === true
  }

  /** From now on it counts what becomes of the handler and of the connection. Called again, with what has taken the place of the reply's listeners. */
  watch (isAnew = false): void {
    if (this.#client !== undefined && !isAnew) return
    this.#handlerEnd().follow()
    this.#client ??= new ClientConnection(this.#reply, this)
    this.#client.watch()
  }

  /** Runs a handler, or an error handler. Gives what Fastify is to have of it. */
  handle (handler: () => unknown): unknown {
    this.#begins()
    return this.#returns(handler())
  }

  /** The same of a handler that may have lost its scope. */
  handleInScope (handler: () => unknown): unknown {
    this.#begins()
    return this.#returns(this.#scope.enter(handler))
  }

  #begins (): void {
    this.hasSent = this.isAwaited = false
  }

  #returns (returned: unknown): unknown {
    const result = promised(returned, this.#reply)
    // A wrapper of a handler may return nothing, and have called it.
    if (result instanceof Promise || !(this.returned instanceof Promise)) this.returned = result
    if (this.#client !== undefined) this.#handlerEnd().follow()
    this.#end?.changed()
    return result
  }

  replyBegun (): void {
    this.hasSent = true
    this.statusBegun = this.#reply.statusCode
  }

  replyAwaited (): void {
    this.isAwaited = true
    this.#end?.changed()
  }

  replyTakenOver (): void {
    if (this.state !== 'sent' && !this.#isDecided) this.#handlerEnd().watch()
  }

  afterReply (next: () => void): void {
    if (this.#isOver || this.#reply.raw.writableEnded || !isClosed(this.#reply.raw)) {
      next()
      return
    }
    this.#waiting ??= []
    this.#waiting.push(next)
    // Without a session nobody has watched the connection.
    this.watch()
  }

  clientLeft (): void {
    this.#answer.leave()
    const { made } = this.#scope
    if (this.#scope.settingsOfAll().some(({ cancelOnAbort }) => cancelOnAbort)) {
      void (made === undefined ? this.#scope.close() : made.cancel('the client has left'))
      this.#over()
    } else if (this.#isDecided) {
      if (made?.state !== 'ending') this.passed()
    } else if (this.#reply.sent && !(this.returned instanceof Promise)) {
      void this.#endAndClose('rollback')
    } else {
      this.#handlerEnd().watch()
    }
  }

  handlerEnded (result: HandlerResult): void {
    const { sent } = this.#reply
    if ('error' in result && sent) this.#answer.fail(result.error as Error | undefined)
    const isSilent = 'value' in result && result.value === undefined && !this.hasSent && !this.isAwaited
    // Otherwise a reply is on its way.
    if (sent || isSilent) void this.#endAndClose()
    else this.#handlerEnd().limit()
  }

  handlerLost (): void {
    void this.#endAndClose(this.state === 'gone' ? 'rollback' : undefined)
  }

  /** A reply has passed the last `onSend` hook. */
  passed (): void {
    if (this.state !== 'gone') return
    void this.#scope.close()
    this.#over()
  }

  responded (): void {
    this.#answer.responded()
    if (!this.#scope.awaitsHooks) void this.#answer.close()
  }

  /** The last `onResponse` hook may never be called, if one before it has failed. */
  connectionEnded (): void {
    if (this.#scope.awaitsHooks && this.#scope.made?.isClosed === false) this.#hooksLimit = setTimeout(() => { this.#endOfHooks() }, UNSEEN_LIMIT)
  }

  /** Whether the reply is over, and nobody that is known of works for its request any more. */
  get hasEnded (): boolean {
    const { raw } = this.#reply
    return raw.writableEnded && isClosed(raw) && !this.isPending && !this.#scope.awaitsHooks
  }

  /** An `onResponse` hook of the application begins. Gives what to call when it is over. */
  responding (): () => void {
    this.#responding++
    return () => { this.#responding-- }
  }

  /** Every `onResponse` hook has run. */
  answered (): Promise<void> | undefined {
    this.#isAnswered = true
    clearTimeout(this.#hooksLimit)
    return this.isPending ? undefined : this.#scope.close()
  }

  /** It is over, whatever it still does. */
  forgetHandler (): void {
    this.returned = undefined
    this.#end?.close()
  }

  #handlerEnd (): HandlerEnd {
    this.#end ??= new HandlerEnd(this, this.#reply)
    return this.#end
  }

  #endOfHooks (): void {
    if (this.#responding > 0 || this.isPending) this.connectionEnded()
    else void this.#scope.close()
  }

  /** Whether the outcome is there, or on its way. */
  get #isDecided (): boolean {
    return this.#scope.state !== 'open'
  }

  /** What waits for the reply of a client that has left waits no longer, once Fastify has had its chance to end it. */
  #over (): void {
    this.forgetHandler()
    this.#isOver = true
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) setImmediate(() => { for (const next of waiting) next() })
  }

  async #endAndClose (outcome?: Outcome): Promise<void> {
    this.forgetHandler()
    await this.#answer.endQuietly(outcome)
    // Otherwise the application's onResponse hooks follow.
    if (this.state === 'gone' || this.#isAnswered || !this.#reply.raw.writableEnded) await this.#scope.close()
    this.#over()
  }
}
