import { Readable } from 'node:stream'
import type { ForkOptions } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AppDatabases } from '../application/application.ts'
import { HandlerRetry, type Repeatable } from './handler-retry.ts'
import { mapError } from './http-errors.ts'
import type { Log, Outcome } from '../types.ts'
import type { Rules } from '../options/options.ts'
import { decideOutcome } from './commit-rule.ts'
import { currentSource, inScope, type ScopeSource } from '../scope/registry.ts'
import { errorStatus, isClosed, restoreHead } from './raw-reply.ts'
import { failuresBefore, sendKnowing } from './reply-failures.ts'
import type { Retry } from '../scope/retry.ts'
import { Scope } from '../scope/scope.ts'
import type { ScopeHost, ScopeOwner } from '../scope/contracts.ts'
import type { ScopeRules } from '../options/route-options.ts'
import { forkOptions, transactionRules } from '../application/session-settings.ts'
import type { ScopeState } from '../scope/state.ts'
import type { SessionDatabase } from '../events/session-database.ts'
import { firstByte, isSendable, keepFromCrashing, statusOf } from './reply.ts'
import type { TransactionRules } from '../transaction/contracts.ts'

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * How long an `onResponse` hook may still use the session after the reply went out, in milliseconds. One that fails
 * keeps Fastify from calling the hooks behind it, ours among them.
 */
const ON_RESPONSE_GRACE = 1_000

/** What has become of the reply. `sent` and `gone` are final. */
type ReplyState = 'awaited' | 'flushing' | 'sent' | 'gone'

/** What has become of a scope that nobody has asked for, so that it was never made. */
type UnmadeState = 'open' | 'completed' | 'closed'

/**
 * A request's unit of work: its scope, and what is known of its reply, from which the outcome follows. The scope is made when it is
 * first asked for: a request that uses no database costs hardly anything.
 */
export class RequestUnit implements ScopeOwner, ScopeSource, Repeatable {
  readonly kind = 'request'
  /** Whether the route has the hooks that end the unit; otherwise the plugin's own do. */
  readonly isSeen: boolean
  readonly #databases: AppDatabases
  readonly #rules: ScopeRules
  readonly request: FastifyRequest
  readonly #reply: FastifyReply
  /** What the request was made in. */
  readonly #surroundings: ScopeSource | undefined
  #scope: Scope | undefined
  #unmadeState: UnmadeState = 'open'
  #handlerRetry: HandlerRetry | undefined
  #replyState: ReplyState = 'awaited'
  #isWatched = false
  /** The first thing that was thrown or sent as an error. */
  #error: Error | undefined
  #failures = 0
  #onError: ((error: Error) => void) | undefined
  /** What the handler returned, from then on until the reply is sent: a request that is garbage but old would keep what it has loaded from being collected with the young. */
  #handled: unknown

  constructor (databases: AppDatabases, rules: ScopeRules, request: FastifyRequest, reply: FastifyReply, isSeen: boolean) {
    this.isSeen = isSeen
    this.#databases = databases
    this.#rules = rules
    this.request = request
    this.#reply = reply
    this.#surroundings = currentSource()
  }

  get host (): ScopeHost {
    return this.#databases
  }

  get scope (): Scope {
    this.#scope ??= this.#makeScope()
    return this.#scope
  }

  get log (): Log {
    return this.request.log
  }

  transactionRules ({ name }: SessionDatabase): TransactionRules {
    const database = this.#databases.use(name)
    return transactionRules(this.#rules.of(database), database.pool, SAFE_METHODS.has(this.request.method))
  }

  forkOptions ({ name }: SessionDatabase): ForkOptions {
    return forkOptions(this.#rules.of(this.#databases.use(name)), this.request)
  }

  /** From now on there is something to clean up, so the connection is watched. */
  opened (): void {
    if (this.#isWatched) return
    this.#isWatched = true
    const { raw } = this.#reply
    if (isClosed(raw)) this.#onClose()
    else raw.once('close', () => this.#onClose())
  }

  /** A commit that waits for the reply's first byte waits no longer. */
  destroyed (error: Error): void {
    this.#onError?.(error)
  }

  /** Takes what the handler returned. */
  handled (result: unknown): void {
    this.#handled = result
    if (this.#replyState === 'gone') this.#awaitHandler()
  }

  /** Runs a handler that is run again when it fails with a transient error. */
  attempts (retry: Retry, handler: () => unknown): unknown {
    this.#handlerRetry = new HandlerRetry(this, retry, this.#reply, handler)
    return this.#handlerRetry.start()
  }

  canRepeat (state: ScopeState): boolean {
    const isAwaited = this.#replyState === 'awaited' || this.#replyState === 'flushing'
    const hasBegun = this.#reply.raw.headersSent || this.#reply.sent
    const isClean = this.#error === undefined && this.scope.state === state && !this.scope.hasCommitted
    return isAwaited && !hasBegun && isClean && !this.#databases.isClosed
  }

  async discardScope (): Promise<void> {
    await this.scope.close()
  }

  renewScope (): void {
    this.#scope = this.#newScope()
    this.#replyState = 'awaited'
  }

  attempt (handler: () => unknown): unknown {
    const result = inScope(this.scope, handler)
    this.handled(result)
    return result
  }

  /** Makes the scope current again where a parser or another plugin has lost it. */
  enter (next: () => void): void {
    if (currentSource() === this) next()
    else inScope(this, next)
  }

  /** A reply comes to its first `onSend` hook. Remembers, for the hooks behind it, what the reply knew of errors. */
  send (next: () => void): void {
    if (this.#scope?.isUsed === true || this.#failures > 0) sendKnowing(this, this.#failures, () => this.enter(next))
    else this.enter(next)
  }

  /** Whether errors of the database are answered with what they mean. */
  get mapsErrors (): boolean {
    return this.#rulesOfAll.some(({ mapErrors }) => mapErrors)
  }

  /** Records what was thrown or sent as an error, and gives it the status that it is to be answered with. */
  fail (error: Error): void {
    if (this.mapsErrors) mapError(error)
    this.#error ??= error
    this.#failures++
    // A reply that turned out to be unsendable was not the last: the error's own follows.
    this.#unmadeState = 'open'
    this.#onError?.(error)
  }

  /** Before serialization: flushes what will be committed, so that generated ids are in the reply. */
  flush (): Promise<void> | undefined {
    const scope = this.#scope
    const canCommit = scope?.isAutomatic === true && scope.state === 'open' && !scope.isRollbackOnly
    return canCommit && this.#error === undefined && this.#reply.statusCode < 400 ? this.#flush(scope) : undefined
  }

  /**
   * Before the headers go out: carries out the outcome.
   * @returns `'send'` or a promise to wait for, or `'drop'` when another reply of the same request goes out instead
   * @throws what stops the commit
   */
  complete (payload: unknown): 'send' | 'drop' | Promise<void> {
    const scope = this.#scope
    if (scope === undefined) {
      this.#unmadeState = 'completed'
      return 'send'
    }
    if (this.#isSuperseded(scope)) return 'drop'
    if (this.#isUntrue(scope)) return this.#breakOff()
    if (!this.#isUndecided(scope) || !isSendable(payload, this.#reply)) return 'send'
    keepFromCrashing(payload)
    const completion = scope.end(this.#outcome(statusOf(payload, this.#reply)), payload instanceof Readable ? () => this.#ready(payload) : undefined)
    return completion === undefined ? 'send' : this.#carriedOut(completion, payload)
  }

  /**
   * Fastify says that the reply has gone out. On HTTP/2 it says so too when the client has reset the stream. A reply that
   * was hijacked has met no hook before this one: its outcome is carried out now.
   */
  responded (): void {
    if (!this.#reply.raw.writableEnded) return
    this.#replyState = 'sent'
    this.#unmadeState = 'completed'
    this.#handled = undefined
    if (this.#scope?.state === 'open') void this.#carryOut()
  }

  /** The reply has gone out, and every `onResponse` hook has run. */
  finish (): Promise<void> | undefined {
    if (this.#replyState !== 'sent') return undefined
    this.#unmadeState = 'closed'
    return this.#scope?.close()
  }

  /** A scope that comes too late learns at once what it has missed. */
  #makeScope (): Scope {
    const scope = this.#newScope()
    if (this.#unmadeState === 'completed') void scope.end(this.#error === undefined && this.#reply.statusCode < 400 ? 'commit' : 'rollback')
    if (this.#unmadeState === 'closed') void scope.close()
    return scope
  }

  #newScope (): Scope {
    return new Scope(this.#databases, this, this.#surroundings?.scope)
  }

  /** What was rolled back by force must not answer as if it were committed, unless nobody listens. */
  #isUndecided ({ state }: Scope): boolean {
    return state === 'open' || (state === 'destroyed' && this.#replyState !== 'gone')
  }

  get #rulesOfAll (): Rules[] {
    return this.#databases.all.map(database => this.#rules.of(database))
  }

  #outcome (statusCode: number): Outcome {
    return decideOutcome(this.#rulesOfAll.map(({ commitOnTeardown }) => commitOnTeardown), {
      request: this.request,
      reply: this.#reply,
      statusCode,
      error: this.#error,
      isRollbackOnly: this.scope.isRollbackOnly
    })
  }

  #flush (scope: Scope): Promise<void> | undefined {
    const flushed = scope.flush()
    return flushed === undefined ? undefined : this.#flushed(flushed)
  }

  async #flushed (flushed: Promise<void>): Promise<void> {
    if (this.#replyState === 'awaited') this.#replyState = 'flushing'
    try {
      await flushed
    } catch (error) {
      const failure = await this.#instead(error, 'open')
      if (this.#error === undefined) throw failure
    } finally {
      if (this.#replyState === 'flushing') this.#replyState = 'awaited'
    }
    // An error has taken this reply's place meanwhile, and is on its way: this one goes no further.
    if (this.#error !== undefined) await new Promise<never>(() => {})
  }

  /**
   * `reply.send()` can be called again while a reply waits for its flush or its commit: by a handler that sends and
   * returns, or because its time is up. The reply that is being committed wins, since its outcome cannot be taken back.
   */
  #isSuperseded ({ state }: Scope): boolean {
    // An error came while a hook of this reply took its time: the error's own reply follows.
    if (!this.#isLast) return true
    if (state === 'ending') return true
    if (state !== 'open') return this.#reply.raw.headersSent
    return this.#replyState === 'flushing' && this.#error === undefined
  }

  /** Whether nothing has failed since the reply that is being sent was begun. One of which nobody knows is taken for the last. */
  get #isLast (): boolean {
    return (failuresBefore(this) ?? this.#failures) === this.#failures
  }

  /** An error reply after a commit would say that nothing is in the database. */
  #isUntrue ({ state, hasWritten }: Scope): boolean {
    return state === 'committed' && hasWritten && this.#reply.statusCode >= 400
  }

  #breakOff (): 'drop' {
    this.log.error({ err: this.#error }, 'a reply failed after its commit and was broken off')
    this.#reply.raw.destroy()
    return 'drop'
  }

  /** When the body has begun, or failed, or is not wanted any more; or the request has failed meanwhile. A web stream cannot be looked into without taking it. */
  async #ready (payload: Readable): Promise<void> {
    const failed = new Promise<never>((_resolve, reject) => { this.#onError = reject })
    await Promise.race([firstByte(payload, this.#reply), failed])
  }

  async #carriedOut (completion: Promise<void>, payload: unknown): Promise<void> {
    const reply = this.#reply
    const error = this.#error
    const { statusCode } = reply
    const headers = reply.getHeaders()
    try {
      await completion
    } catch (error) {
      const failure = await this.#instead(error, 'rolled back', payload)
      if (this.mapsErrors) mapError(failure)
      // A custom error handler that leaves the status alone must not answer with the one of the success.
      reply.code(errorStatus(failure))
      throw failure
    } finally {
      if (this.#replyState === 'gone') void this.scope.close()
    }
    if (this.#error !== error) restoreHead(reply, statusCode, headers)
  }

  /** What to answer with when a reply has failed with `error`; never, when the handler is run again. */
  async #instead (error: unknown, state: ScopeState, payload?: unknown): Promise<unknown> {
    return await (this.#handlerRetry?.instead(error, state, payload) ?? error)
  }

  #onClose (): void {
    if (this.#replyState === 'sent') {
      if (!this.scope.isClosed) setTimeout(() => { void this.scope.close() }, ON_RESPONSE_GRACE)
      return
    }
    this.#replyState = 'gone'
    if (this.#rulesOfAll.some(({ cancelOnAbort }) => cancelOnAbort)) void this.scope.cancel()
    // Hijacked, or ended by hand: no onSend will come.
    else if (this.scope.state === 'open' && this.#reply.sent) void this.#conclude('rollback')
    else if (this.scope.state === 'open') this.#awaitHandler()
    else if (this.scope.state !== 'ending') void this.scope.close()
  }

  /**
   * The client has gone, the handler runs on: `onSend` follows, unless it or its error handler returns nothing, which
   * Fastify does not send any more. Fastify has stopped its timer, but a handler's time is still limited.
   */
  #awaitHandler (): void {
    const { handlerTimeout } = this.request.routeOptions
    if (handlerTimeout !== undefined && handlerTimeout > 0) setTimeout(() => { void this.#conclude('rollback') }, handlerTimeout)
    if (!(this.#handled instanceof Promise)) return
    // Fastify's own reaction to the handler's end comes first.
    const ended = () => setImmediate(() => { void this.#conclude() })
    this.#handled.then(ended, ended)
  }

  /** Carries out the outcome where no `onSend` has, and disposes. */
  async #conclude (outcome?: Outcome): Promise<void> {
    await this.#carryOut(outcome)
    await this.scope.close()
  }

  /** There is nobody to throw to any more. */
  async #carryOut (outcome?: Outcome): Promise<void> {
    if (this.scope.state !== 'open') return
    try {
      await this.scope.end(outcome ?? this.#outcome(this.#reply.statusCode))
    } catch (err) {
      this.log.error({ err }, 'the commit of a request failed after its reply had begun')
    }
  }
}
