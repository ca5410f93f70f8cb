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
import { ClientConnection, type Answering } from './client-connection.ts'
import { decideOutcome, reasonFor, type ErrorState } from './commit-rule.ts'
import { HandlerRetry, type Repeatable } from './handler-retry.ts'
import { mapError } from './http-errors.ts'
import { precedenceOf } from './reply-precedence.ts'
import { REPLY_TRANSITIONS, type ReplyState } from './reply-state.ts'
import { breakOffUnless, errorStatus, failuresBefore, firstByte, isSendable, isStreamed, keepFromCrashing, restoreHead, sendKnowing, statusOf } from './reply.ts'

/** What a reply asks of the scope of its request, which may never be made. */
export interface ReplyScope {
  readonly request: FastifyRequest
  readonly host: ScopeHost
  readonly made: Scope | undefined
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
export class ReplyOutcome implements Repeatable, Answering {
  readonly #scope: ReplyScope
  readonly #reply: FastifyReply
  #state: ReplyState = 'awaited'
  #client: ClientConnection | undefined
  /** The first thing that was thrown or sent as an error. */
  #error: Error | undefined
  #failures = 0
  /** Ends the wait for the reply's first byte. */
  #interrupt: ((error: Error) => void) | undefined
  /** What the handler returned, from then on until the reply is sent: a request that is garbage but old would keep what it has loaded from being collected with the young. */
  #handled: unknown
  #handlerRetry: HandlerRetry | undefined

  constructor (scope: ReplyScope, reply: FastifyReply) {
    this.#scope = scope
    this.#reply = reply
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
    this.#client = new ClientConnection(this.#reply, this)
    this.#client.watch()
  }

  /** A commit that waits for the reply's first byte waits no longer. */
  interrupt (error: Error): void {
    this.#interrupt?.(error)
  }

  get handled (): unknown {
    return this.#handled
  }

  /** The handler has returned something. */
  takeHandled (result: unknown): void {
    this.#handled = result
    if (this.#state === 'gone') this.#client?.awaitHandler()
  }

  /** Runs a handler that is run again when it fails with a transient error. */
  runHandler (retry: Retry, handler: () => unknown): unknown {
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
    const result = inScope(this.#scope.openScope(), handler)
    this.takeHandled(result)
    return result
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
   * @returns `'send'` or a promise to wait for, or `'drop'` when another reply of the same request goes out instead
   * @throws what stops the commit
   */
  end (payload: unknown): 'send' | 'drop' | Promise<void> {
    if (isStreamed(payload)) breakOffUnless(() => this.#isWhole(), this.#reply)
    const scope = this.#scope.made
    if (scope === undefined) {
      this.#endUnmade()
      return 'send'
    }
    switch (this.#precedence(scope)) {
      case 'superseded': return 'drop'
      case 'untrue': return this.#breakOff()
      case 'follows': return 'send'
      case 'decides': return isSendable(payload, this.#reply) ? this.#end(scope, payload) : 'send'
    }
  }

  /**
   * Fastify says that the reply has gone out. On HTTP/2 it says so too when the client has reset the stream. A reply that
   * was hijacked has met no hook before this one: its outcome is carried out now.
   */
  responded (): void {
    if (!this.#reply.raw.writableEnded || this.#state === 'sent') return
    this.#enter('sent')
    this.#handled = undefined
    if (this.#scope.made === undefined) this.#endUnmade()
    else void this.#endQuietly()
  }

  /** The reply has gone out, and every `onResponse` hook has run. */
  close (): Promise<void> | undefined {
    return this.#state === 'sent' ? this.#scope.close() : undefined
  }

  cancelsOnAbort (): boolean {
    return this.#scope.settingsOfAll().some(({ cancelOnAbort }) => cancelOnAbort)
  }

  currentScope (): Scope {
    return this.#scope.openScope()
  }

  clientLeft (): void {
    this.#enter('gone')
  }

  async endAndClose (outcome?: Outcome): Promise<void> {
    await this.#endQuietly(outcome)
    await this.#scope.close()
  }

  /** Nobody has used the scope: whatever the outcome, there is nothing to carry out. */
  #endUnmade (): void {
    void this.#scope.end(this.#error === undefined && this.#reply.statusCode < 400 ? 'commit' : 'rollback')
  }

  #precedence (scope: Scope): ReturnType<typeof precedenceOf> {
    const { statusCode, raw: { headersSent } } = this.#reply
    const isLast = (failuresBefore(this) ?? this.#failures) === this.#failures
    return precedenceOf({ state: this.#state, statusCode, headersSent, hasFailed: this.#error !== undefined, isLast, scope })
  }

  #end (scope: Scope, payload: unknown): 'send' | Promise<void> {
    keepFromCrashing(payload)
    const ended = scope.end(this.#decide(statusOf(payload, this.#reply)), payload instanceof Readable ? () => this.#ready(payload) : undefined)
    return ended === undefined ? 'send' : this.#ended(ended, payload)
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

  /** When the body has begun, or failed, or is not wanted any more; or the request has failed meanwhile. A web stream cannot be looked into without taking it. */
  async #ready (payload: Readable): Promise<void> {
    const failed = new Promise<never>((_resolve, reject) => { this.#interrupt = reject })
    await Promise.race([firstByte(payload, this.#reply), failed])
  }

  async #ended (ended: Promise<void>, payload: unknown): Promise<void> {
    const reply = this.#reply
    const error = this.#error
    const { statusCode } = reply
    const headers = reply.getHeaders()
    try {
      await ended
    } catch (error) {
      const failure = await this.#instead(error, 'rolled back', payload)
      if (this.mapsErrors()) mapError(failure)
      // A custom error handler that leaves the status alone must not answer with the one of the success.
      reply.code(errorStatus(failure))
      throw failure
    } finally {
      if (this.#state === 'gone') void this.#scope.close()
    }
    if (this.#error !== error) restoreHead(reply, statusCode, headers)
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
