import type { FastifyReply } from 'fastify'
import type { Retry } from '../scope/retry.ts'
import type { ScopeHost } from '../scope/contracts.ts'
import type { ScopeState } from '../scope/state.ts'
import { discard } from './payload.ts'
import { interceptSend, snapshotReply } from './reply.ts'

/** What the attempts of a handler ask of the request that it is for. */
export interface Repeatable {
  readonly host: ScopeHost
  /** Whether the handler can begin anew: nothing is committed, nothing has reached the client, and somebody waits for it. */
  canRepeat (state: ScopeState): boolean
  /** Rolls back, and closes the scope. */
  closeScope (): Promise<void>
  /** Makes a new one in its place. */
  renewScope (): void
  /** Runs the handler in the scope. */
  attempt (handler: () => unknown): unknown
}

/**
 * The attempts of one request's handler. One that fails, or whose commit fails, with a transient error is followed by another, in a
 * new scope, before anything reaches the client: what Fastify would have sent is dropped, and the reply is what it was at first.
 */
export class HandlerRetry {
  readonly #request: Repeatable
  readonly #retry: Retry
  readonly #reply: FastifyReply
  readonly #handler: () => unknown
  /** Makes the reply what it was before the first attempt. */
  readonly #restore: () => void
  #attempt = 1
  #isOver = false

  constructor (request: Repeatable, retry: Retry, reply: FastifyReply, handler: () => unknown) {
    this.#request = request
    this.#retry = retry
    this.#reply = reply
    this.#handler = handler
    this.#watchSend()
    this.#restore = snapshotReply(reply)
  }

  /** The first attempt, and those that follow when the handler throws. Gives Fastify what the handler returns. */
  start (): unknown {
    return this.#run()
  }

  /**
   * The reply of the handler has failed on its way, with its flush or its commit. Where the handler is run again, what it gives then is
   * sent, and this never settles: the reply under way goes no further.
   * @param state the one that the failure has left the scope in
   * @returns what to answer with: `error`, or RetriesExhaustedError after the last attempt
   */
  async instead (error: unknown, state: ScopeState, payload?: unknown): Promise<unknown> {
    try {
      if (!this.#isWorthwhile(error, state)) return error
      discard(payload)
      await this.#prepare(error)
    } catch (failure) {
      return failure
    }
    void this.#deliver(this.#run())
    return await new Promise(() => {})
  }

  #run (): unknown {
    let result: unknown
    try {
      result = this.#request.attempt(this.#handler)
    } catch (error) {
      return this.#repeat(error)
    }
    return result instanceof Promise ? result.catch((error: unknown) => this.#repeat(error)) : result
  }

  /** The handler has thrown. */
  async #repeat (error: unknown): Promise<unknown> {
    if (!this.#isWorthwhile(error, 'open')) throw error
    return await this.#again(error)
  }

  async #again (error: unknown): Promise<unknown> {
    await this.#prepare(error)
    // A handler that returns nothing, not even a promise, sends by itself.
    return await Promise.resolve(this.#run() ?? new Promise(() => {}))
  }

  #isWorthwhile (error: unknown, state: ScopeState): boolean {
    const canRepeat = !this.#isOver && this.#request.canRepeat(state)
    // Until the application's own predicate has answered: it may throw.
    this.#isOver = true
    this.#isOver = !(canRepeat && this.#retry.isWorthwhile(error))
    return !this.#isOver
  }

  async #prepare (error: unknown): Promise<void> {
    await this.#request.closeScope()
    await this.#retry.pause(error, this.#attempt, this.#reply.log, this.#request.host).catch((exhausted: unknown) => {
      this.#isOver = true
      throw exhausted
    })
    this.#attempt++
    // Its time may be up meanwhile, or its client may have left.
    if (this.#isOver || !this.#request.canRepeat('closed')) throw error
    this.#restore()
    this.#request.renewScope()
  }

  /** What Fastify does with what a handler returns. */
  async #deliver (result: unknown): Promise<void> {
    const reply = this.#reply
    try {
      const payload = await result
      if (payload !== undefined || (result instanceof Promise && !reply.sent && !reply.raw.headersSent)) reply.send(payload)
    } catch (error) {
      reply.send(asError(error))
    }
  }

  /** `reply.send(error)` is a failure of the handler, too. */
  #watchSend (): void {
    interceptSend(this.#reply, (payload, send) => {
      if (!(payload instanceof Error)) return send(payload)
      let isWorthwhile = false
      let answer = payload
      try {
        isWorthwhile = this.#isWorthwhile(payload, 'open')
      } catch (error) {
        answer = asError(error)
      }
      if (!isWorthwhile) return send(answer)
      void this.#deliver(this.#again(payload))
      return this.#reply
    })
  }
}

/** What is no error would pass for a reply. */
function asError (thrown: unknown): Error {
  return thrown instanceof Error ? thrown : Object.assign(new Error('the handler has thrown what is not an Error'), { cause: thrown })
}
