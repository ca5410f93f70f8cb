import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ScopeSettings } from '../options/options.ts'
import { debug } from '../debug.ts'
import type { ScopeHost } from '../scope/contracts.ts'
import { inScope } from '../scope/registry.ts'
import type { Retry } from '../scope/retry.ts'
import type { Scope } from '../scope/scope.ts'
import type { ScopeState } from '../scope/state.ts'
import type { Ready } from '../transaction/contracts.ts'
import { transition } from '../transition.ts'
import type { Outcome } from '../types.ts'
import { ClientConnection, isClosed, type Answering } from './client-connection.ts'
import { decideOutcome, reasonFor, type ErrorState } from './commit-rule.ts'
import { HandlerEnd, UNSEEN_LIMIT, type HandlerOwner, type HandlerResult } from './handler-end.ts'
import { HandlerRetry, type Repeatable } from './handler-retry.ts'
import { mapError } from './http-errors.ts'
import { discard, firstByte, keepFromCrashing } from './payload.ts'
import type { ReplyListener } from './reply-methods.ts'
import { precedenceOf } from './reply-precedence.ts'
import { REPLY_TRANSITIONS, type ReplyState } from './reply-state.ts'
import { blockWrites, breakOffUnless, failuresBefore, isStreamed, prepareForError, sendKnowing, snapshotSending } from './reply.ts'
import { assertSendable, readable, statusOf } from './sendable.ts'

/** What a reply asks of the scope of its request, which may never be made. */
export interface ReplyScope {
  readonly request: FastifyRequest
  readonly host: ScopeHost
  readonly made: Scope | undefined
  readonly state: ScopeState
  /** Those of each database. */
  settingsOfAll (): ScopeSettings[]
  openScope (): Scope
  enter (next: () => void): void
  end (outcome: Outcome, ready?: Ready): Promise<void> | undefined
  close (): Promise<void> | undefined
  /** Takes back the end of a scope that was not made. */
  reopen (): void
  /** Puts a new one in its place. */
  renew (): void
}

/**
 * What becomes of a request's reply, and what follows from it for the outcome of its scope.
 *
 * Longer than other files: all that can happen to a reply comes together here, and each of it is a few lines.
 */
export class ReplyOutcome implements Repeatable, Answering, HandlerOwner, ReplyListener {
  readonly #scope: ReplyScope
  readonly #reply: FastifyReply
  #state: ReplyState = 'awaited'
  #client: ClientConnection | undefined
  /** The first thing that was thrown or sent as an error. */
  #error: Error | undefined
  #failures = 0
  /** Ends the wait for the reply's first byte. */
  #interrupt: ((error: Error) => void) | undefined
  readonly #handler: HandlerEnd
  #handlerRetry: HandlerRetry | undefined
  /** Who waits for the reply of a client that has left. */
  #waiting: (() => void)[] | undefined
  /** Whether nothing will come to `onSend` any more, and the outcome is there. */
  #isOver = false
  /** How many of the application's `onResponse` hooks run. */
  #responding = 0
  /** Whether all of them have run. */
  #isAnswered = false

  constructor (scope: ReplyScope, reply: FastifyReply) {
    this.#scope = scope
    this.#reply = reply
    this.#handler = new HandlerEnd(this, reply)
  }

  get host (): ScopeHost {
    return this.#scope.host
  }

  get state (): ReplyState {
    return this.#state
  }

  /** Whether errors of the database are answered with what they mean. */
  mapsErrors (): boolean {
    return this.#scope.settingsOfAll().some(({ mapErrors }) => mapErrors)
  }

  /** The scope has something to clean up from now on, so the connection is watched. */
  watch (): void {
    if (this.#client !== undefined) return
    this.#handler.follow()
    this.#client = new ClientConnection(this.#reply, this)
    this.#client.watch()
  }

  /** A commit that waits for the reply's first byte waits no longer. */
  interrupt (error: Error): void {
    this.#interrupt?.(error)
  }

  get isBusy (): boolean {
    return this.#scope.made?.isBusy === true
  }

  replyBegun (): void {
    this.#handler.sends()
  }

  replyAwaited (): void {
    this.#handler.isAwaited()
  }

  replyTakenOver (): void {
    if (this.#state !== 'sent' && !this.#isDecided) this.#handler.watch()
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

  /**
   * Runs a handler, or an error handler.
   * @returns what to give Fastify
   */
  handle (handler: () => unknown): unknown {
    this.#handler.begun()
    const result = this.#handler.returned(handler())
    if (this.#client !== undefined) this.#handler.follow()
    return result
  }

  /** Runs a handler that is run again when it fails with a transient error. */
  handleAgain (retry: Retry, handler: () => unknown): unknown {
    // A wrapper that another plugin has put around it is the handler.
    if (this.#handlerRetry !== undefined) return this.handle(handler)
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
    this.#client?.watch()
    if (this.#state === 'flushing') this.#enter('awaited')
  }

  attempt (handler: () => unknown): unknown {
    return this.handle(() => inScope(this.#scope.openScope(), handler))
  }

  /** A reply comes to its first `onSend` hook. Remembers, for the hooks behind it, what the reply knew of errors. */
  send (next: () => void): void {
    if (this.#scope.made?.isUsed === true || this.#failures > 0) sendKnowing(this, this.#failures, () => this.#scope.enter(next))
    else this.#scope.enter(next)
  }

  /** Records what was thrown or sent as an error, and gives it the status that it is to be answered with. */
  fail (error: Error): void {
    if (this.mapsErrors()) mapError(error)
    this.#error ??= error
    this.#failures++
    // A reply that turned out to be unsendable was not the last: the error's own follows.
    this.#scope.reopen()
    this.interrupt(error)
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
   * @returns `'send'`; or a promise of what to call for the payload, at once before it is sent; or `'drop'` when another reply of the same
   * request goes out instead
   * @throws what stops the commit, or would keep the reply from being sent
   */
  end (payload: unknown): 'send' | 'drop' | Promise<() => unknown> {
    const scope = this.#scope.made
    const ended = scope === undefined ? this.#endUnmade() : this.#end(scope, payload)
    if (ended === 'drop') discard(payload)
    else if (ended === 'send') this.#passes(payload)
    return ended
  }

  /**
   * Fastify says that the reply has gone out. On HTTP/2 it says so too when the client has reset the stream. One that was taken over has met
   * no hook before this one: unless its handler's end is still to come, its outcome is carried out now.
   */
  responded (): void {
    if (!this.#reply.raw.writableEnded || this.#state === 'sent') return
    this.#enter('sent')
    if (this.#handler.isPending) return
    this.#handler.close()
    if (this.#scope.made === undefined) this.#endUnmade()
    else void this.#endQuietly()
  }

  /** An `onResponse` hook of the application begins. Gives what to call when it is over. */
  responding (): () => void {
    this.#responding++
    return () => { this.#responding-- }
  }

  /** The reply has gone out, and every `onResponse` hook has run. */
  close (): Promise<void> | undefined {
    if (this.#state !== 'sent') return undefined
    this.#isAnswered = true
    return this.#handler.isPending ? undefined : this.#scope.close()
  }

  /** The last `onResponse` hook may never be called, if one before it has failed. */
  connectionEnded (): void {
    if (this.#scope.made?.isClosed === false) setTimeout(() => { this.#endOfHooks() }, UNSEEN_LIMIT)
  }

  clientLeft (): void {
    this.#enter('gone')
    const scope = this.#scope.made
    if (this.#cancelsOnAbort()) {
      void (scope === undefined ? this.#scope.close() : scope.cancel())
      this.#over()
    } else if (this.#isDecided) {
      if (scope?.state !== 'ending') this.#passed()
    } else if (this.#reply.sent && !this.#handler.isPromised) {
      void this.#endAndClose('rollback')
    } else {
      this.#handler.watch()
    }
  }

  handlerEnded (result: HandlerResult): void {
    if ('error' in result && this.#reply.sent) this.fail(result.error as Error)
    const isSilent = 'value' in result && result.value === undefined && this.#handler.mayBeSilent
    // Otherwise a reply is on its way.
    if (this.#reply.sent || isSilent) void this.#endAndClose()
    else this.#handler.limit()
  }

  handlerLost (): void {
    void this.#endAndClose(this.#state === 'gone' ? 'rollback' : undefined)
  }

  #cancelsOnAbort (): boolean {
    return this.#scope.settingsOfAll().some(({ cancelOnAbort }) => cancelOnAbort)
  }

  /** Whether the outcome is there, or on its way. */
  get #isDecided (): boolean {
    return this.#scope.state !== 'open'
  }

  #endOfHooks (): void {
    if (this.#responding > 0 || this.#handler.isPending) this.connectionEnded()
    else void this.#scope.close()
  }

  #passes (payload: unknown): void {
    if (isStreamed(payload)) breakOffUnless(() => this.#isWhole(), this.#reply)
    this.#passed()
  }

  /** A reply has passed the last `onSend` hook. */
  #passed (): void {
    if (this.#state !== 'gone') return
    void this.#scope.close()
    this.#over()
  }

  /** What waits for the reply of a client that has left waits no longer, once Fastify has had its chance to end it. */
  #over (): void {
    this.#handler.close()
    this.#isOver = true
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) setImmediate(() => { for (const next of waiting) next() })
  }

  /** Carries out the outcome, that of the rule unless it is given, where no `onSend` has, and closes the scope. */
  async #endAndClose (outcome?: Outcome): Promise<void> {
    this.#handler.close()
    await this.#endQuietly(outcome)
    // Otherwise the application's onResponse hooks follow.
    if (this.#state === 'gone' || this.#isAnswered || !this.#reply.raw.writableEnded) await this.#scope.close()
    this.#over()
  }

  /** Nobody has used the scope: whatever the outcome, there is nothing to carry out. */
  #endUnmade (): 'send' {
    void this.#scope.end(this.#error === undefined && this.#reply.statusCode < 400 ? 'commit' : 'rollback')
    return 'send'
  }

  #precedence (scope: Scope): ReturnType<typeof precedenceOf> {
    const { statusCode, raw: { headersSent } } = this.#reply
    const isLast = (failuresBefore(this) ?? this.#failures) === this.#failures
    return precedenceOf({ state: this.#state, statusCode, headersSent, hasFailed: this.#error !== undefined, isLast, scope })
  }

  #end (scope: Scope, payload: unknown): 'send' | 'drop' | Promise<() => unknown> {
    // Another reply was written and ended by hand: it is the one that counts.
    if (this.#reply.raw.writableEnded) return 'drop'
    switch (this.#precedence(scope)) {
      case 'superseded': return 'drop'
      case 'untrue': return this.#breakOff()
      case 'follows': return 'send'
      case 'decides': return this.#carryOut(scope, payload)
    }
  }

  /** @throws what would keep the reply from being sent */
  #carryOut (scope: Scope, payload: unknown): 'send' | Promise<() => unknown> {
    const reply = this.#reply
    const outcome = this.#decide(statusOf(payload, reply))
    if (outcome === 'commit') this.#assertSendable(payload)
    if (outcome === 'commit' && scope.hasWork) return this.#commit(scope, payload)
    keepFromCrashing(payload)
    const ended = scope.end(outcome)
    return ended === undefined ? 'send' : this.#ended(ended, payload, snapshotSending(reply))
  }

  #assertSendable (payload: unknown): void {
    try {
      assertSendable(payload, this.#reply)
    } catch (error) {
      discard(payload)
      prepareForError(this.#reply, error)
      throw error
    }
  }

  #commit (scope: Scope, payload: unknown): Promise<() => unknown> {
    const restore = snapshotSending(this.#reply)
    const body = readable(payload, this.#reply)
    keepFromCrashing(body)
    return this.#ended(scope.end('commit', body instanceof Readable ? () => this.#ready(body) : undefined), body, restore)
  }

  #decide (statusCode: number): Outcome {
    const state: ErrorState = {
      request: this.#scope.request,
      reply: this.#reply,
      statusCode,
      error: this.#error,
      isRollbackOnly: this.#scope.made?.isRollbackOnly === true
    }
    const rules = this.#scope.settingsOfAll().map(({ commitOnTeardown }) => commitOnTeardown)
    const outcome = decideOutcome(rules, state)
    if (debug.enabled) debug('outcome: %s, %s', outcome, reasonFor(rules, state))
    return outcome
  }

  /** The one way into `flushing`, which is left whatever is thrown. */
  async #flushed (flushed: Promise<void>): Promise<void> {
    if (this.#state === 'awaited') this.#enter('flushing')
    try {
      await flushed
    } catch (error) {
      const failure = await this.#instead(error, 'open')
      if (this.#error === undefined) throw failure
    } finally {
      if (this.#state === 'flushing') this.#enter('awaited')
    }
    // An error has taken this reply's place meanwhile, and is on its way: this one goes no further.
    if (this.#error !== undefined) await new Promise<never>(() => {})
  }

  #breakOff (): 'drop' {
    this.#scope.request.log.error({ err: this.#error }, 'a reply failed after its commit and was broken off')
    this.#reply.raw.destroy()
    return 'drop'
  }

  /** Whether nothing has come after the commit that the client would take for part of it. */
  #isWhole (): boolean {
    const hasLost = this.#scope.made?.hasLost === true
    if (hasLost) this.#scope.request.log.error('a streamed reply was broken off: something was changed after the commit of its scope')
    return !hasLost
  }

  /** When the body has begun, or failed, or is not wanted any more; or the request has failed meanwhile. */
  async #ready (payload: Readable): Promise<void> {
    const failed = new Promise<never>((_resolve, reject) => { this.#interrupt = reject })
    await Promise.race([firstByte(payload, this.#reply), failed])
  }

  /**
   * Holds the reply as it is until the outcome is carried out: what is done to it meanwhile changes nothing.
   * @param restore makes it what it was before it was to be sent
   */
  async #ended (ended: Promise<void> | undefined, body: unknown, restore: () => void): Promise<() => unknown> {
    const reply = this.#reply
    const settle = snapshotSending(reply)
    const release = blockWrites(reply)
    try {
      await ended
    } catch (error) {
      release()
      restore()
      this.#passed()
      const failure = await this.#instead(error, 'rolled back', body)
      discard(body)
      if (this.mapsErrors()) mapError(failure)
      prepareForError(reply, failure)
      throw failure
    }
    return () => {
      release()
      settle()
      this.#passes(body)
      return body
    }
  }

  /** What to answer with when a reply has failed with `error`; never, when the handler is run again. */
  async #instead (error: unknown, state: ScopeState, payload?: unknown): Promise<unknown> {
    return await (this.#handlerRetry?.instead(error, state, payload) ?? error)
  }

  /** Carries out the outcome, where it was not. There is nobody to throw to any more. */
  async #endQuietly (outcome?: Outcome): Promise<void> {
    if (this.#scope.made?.state !== 'open') return
    try {
      if (outcome !== undefined) debug('outcome: %s, nobody waits for the reply any more', outcome)
      await this.#scope.end(outcome ?? this.#decide(this.#reply.statusCode))
    } catch (err) {
      this.#scope.request.log.error({ err }, 'the commit of a request failed after its reply had begun')
    }
  }

  #enter (state: ReplyState): void {
    this.#state = transition(REPLY_TRANSITIONS, this.#state, state, () => this.#scope.request.log)
  }
}
