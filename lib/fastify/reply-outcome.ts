import { errorCodes, type FastifyReply } from 'fastify'
import type { ScopeHost } from '../scope/contracts.ts'
import { inScope } from '../scope/registry.ts'
import type { Retry } from '../scope/retry.ts'
import type { Scope } from '../scope/scope.ts'
import type { ScopeState } from '../scope/state.ts'
import { transition } from '../transition.ts'
import type { Decision, Outcome } from '../types.ts'
import { decide } from './commit-rule.ts'
import { HandlerRetry, type Repeatable } from './handler-retry.ts'
import { mapError } from './http-errors.ts'
import { LastOnSend, type Sending, type SentReply } from './last-on-send.ts'
import { tellWrites } from './read-your-writes.ts'
import { failuresBefore, isStreamed, prepareForError, sendKnowing } from './reply.ts'
import type { ReplyScope } from './reply-scope.ts'
import { REPLY_TRANSITIONS, type ReplyState } from './reply-state.ts'
import { Unattended, type UnattendedReply } from './unattended.ts'

/**
 * What becomes of a request's reply, and what follows from it for the outcome of its scope.
 *
 * Longer than other files: each event that Fastify tells of has its method here, and all of them change one state.
 */
export class ReplyOutcome implements Repeatable, SentReply, UnattendedReply {
  /** The end where no `onSend` is sure to come. */
  readonly unattended: Unattended
  readonly #scope: ReplyScope
  readonly #reply: FastifyReply
  #state: ReplyState = 'awaited'
  /** The first thing that was thrown or sent as an error. */
  #error: Error | undefined
  #failures = 0
  #handlerRetry: HandlerRetry | undefined
  /** None where no session is used and nothing streamed. */
  #lastOnSend: LastOnSend | undefined

  constructor (scope: ReplyScope, reply: FastifyReply) {
    this.#scope = scope
    this.#reply = reply
    this.unattended = new Unattended(this, scope, reply)
  }

  get host (): ScopeHost {
    return this.#scope.host
  }

  get state (): ReplyState {
    return this.#state
  }

  get error (): Error | undefined {
    return this.#error
  }

  get scope (): Scope | undefined {
    return this.#scope.made
  }

  get isLast (): boolean {
    return (failuresBefore(this) ?? this.#failures) === this.#failures
  }

  /** Whether errors of the database are answered with what they mean. */
  mapsErrors (): boolean {
    return this.#scope.settingsOfAll().some(({ mapErrors }) => mapErrors)
  }

  /** A commit that waits for the reply's first byte waits no longer. */
  interrupt (error: Error): void {
    this.#lastOnSend?.interrupt(error)
  }

  /** Runs a handler that is run again when it fails with a transient error. */
  handleAgain (retry: Retry, handler: () => unknown): unknown {
    // A wrapper that another plugin has put around it is the handler.
    if (this.#handlerRetry !== undefined) return this.unattended.handle(handler)
    this.#handlerRetry = new HandlerRetry(this, retry, this.#reply, handler)
    return this.#handlerRetry.start()
  }

  canRepeat (state: ScopeState): boolean {
    const isAwaited = this.#state === 'awaited' || this.#state === 'flushing'
    const hasBegun = this.#reply.raw.headersSent || this.#reply.sent
    const isClean = this.#error === undefined && this.#scope.made?.state === state && !this.#scope.made.hasCommitted
    return isAwaited && !hasBegun && isClean && !this.host.isClosed
  }

  async closeScope (): Promise<void> {
    await this.#scope.close()
  }

  renewScope (): void {
    this.#scope.renew()
    // The reply has lost its listeners with the attempt.
    this.unattended.watch(true)
    if (this.#state === 'flushing') this.#enter('awaited')
  }

  attempt (handler: () => unknown): unknown {
    return this.unattended.handle(() => inScope(this.#scope.openScope(), handler))
  }

  /** A reply comes to its first `onSend` hook. Remembers, for the hooks behind it, what the reply knew of errors. */
  send (next: () => void): void {
    const scope = this.#scope
    if (scope.made?.isUsed === true || this.#failures > 0) sendKnowing(this, this.#failures, scope.enter.bind(scope, next))
    else scope.enter(next)
  }

  /** Records what was thrown or sent as an error, and gives it the status that it is to be answered with. */
  fail (error: Error | undefined): void {
    if (this.mapsErrors()) mapError(error)
    // What is thrown may be nothing at all.
    const failure = error ?? new errorCodes.FST_ERR_SEND_UNDEFINED_ERR()
    this.#error ??= failure
    this.#failures++
    // A reply that turned out to be unsendable was not the last: the error's own follows.
    this.#scope.reopen()
    this.interrupt(failure)
    if ((failure as { code?: unknown }).code === 'FST_ERR_HANDLER_TIMEOUT') this.#scope.made?.expire()
  }

  /** Before serialization: flushes what will be committed, so that generated ids are in the reply. */
  flush (): Promise<void> | undefined {
    const scope = this.#scope.made
    const canCommit = scope?.isAutomatic === true && scope.state === 'open' && !scope.isRollbackOnly
    const flushed = canCommit && this.#error === undefined && this.#reply.statusCode < 400 ? scope.flush() : undefined
    return flushed === undefined ? undefined : this.#flushed(flushed)
  }

  /**
   * Before the headers go out: carries out the outcome.
   * @throws what stops the commit, or would keep the reply from being sent
   */
  end (payload: unknown): Sending {
    const { made } = this.#scope
    if (made === undefined) {
      this.#endUnmade()
      this.unattended.forgetHandler()
    }
    if (made === undefined && !isStreamed(payload)) {
      this.passed()
      return 'send'
    }
    this.#lastOnSend ??= new LastOnSend(this, this.#reply)
    return this.#lastOnSend.end(made, payload)
  }

  passed (): void {
    if (this.#scope.made !== undefined) tellWrites(this.#scope.request, this.#reply)
    this.unattended.passed()
  }

  leave (): void {
    this.#enter('gone')
  }

  /**
   * The reply has gone out. On HTTP/2 Fastify says so too when the client has reset the stream. One that was taken over has met
   * no hook before this one: unless its handler's end is still to come, its outcome is carried out now.
   */
  responded (): void {
    if (!this.#reply.raw.writableEnded || this.#state === 'sent') return
    this.#enter('sent')
    if (this.unattended.isPending) return
    this.unattended.forgetHandler()
    if (this.#scope.made === undefined) this.#endUnmade()
    else void this.endQuietly()
  }

  /** Every `onResponse` hook has run. */
  close (): Promise<void> | undefined {
    return this.#state === 'sent' ? this.unattended.answered() : undefined
  }

  decide (answered: number): Decision {
    const { request, made } = this.#scope
    // It tells the client that it knows the answer, be it that of a 409.
    const statusCode = answered === 304 ? this.unattended.statusBegun : answered
    const rules = this.#scope.settingsOfAll().map(({ commitOnTeardown }) => commitOnTeardown)
    return decide(rules, { request, reply: this.#reply, statusCode, error: this.#error, isRollbackOnly: made?.isRollbackOnly === true })
  }

  async instead (error: unknown, payload?: unknown, state: ScopeState = 'rolled back'): Promise<unknown> {
    return await (this.#handlerRetry?.instead(error, state, payload) ?? error)
  }

  async endQuietly (given?: Outcome): Promise<void> {
    const { made } = this.#scope
    const { sent, raw, statusCode, log } = this.#reply
    if (made?.state !== 'open') return
    try {
      const decision = given === undefined ? this.decide(statusCode) : { outcome: given, reason: 'nobody waits for the reply any more' }
      // Of what was written by hand, the client has seen something.
      made.explain({ ...decision, isSurprising: decision.outcome === 'rollback' && (sent || raw.headersSent) && statusCode < 400 })
      await made.end(decision.outcome)
    } catch (err) {
      log.error({ err }, 'the commit of a request failed after its reply had begun')
    }
  }

  /** Nobody has used the scope: whatever the outcome, there is nothing to carry out. */
  #endUnmade (): void {
    this.#scope.endUnmade(this.#error === undefined && this.#reply.statusCode < 400 ? 'commit' : 'rollback')
  }

  /** The one way into `flushing`, which is left whatever is thrown. */
  async #flushed (flushed: Promise<void>): Promise<void> {
    if (this.#state === 'awaited') this.#enter('flushing')
    try {
      await flushed
    } catch (error) {
      const failure = await this.instead(error, undefined, 'open')
      if (this.#error === undefined) throw prepareForError(this.#reply, failure, this.mapsErrors())
    } finally {
      if (this.#state === 'flushing') this.#enter('awaited')
    }
    // An error has taken this reply's place meanwhile, and is on its way: this one goes no further.
    if (this.#error !== undefined) await new Promise<never>(() => {})
  }

  #enter (state: ReplyState): void {
    this.#state = transition(REPLY_TRANSITIONS, this.#state, state, this.#reply)
  }
}
