import { Readable } from 'node:stream'
import { errorCodes, type FastifyReply } from 'fastify'
import type { Scope } from '../scope/scope.ts'
import type { Decision } from '../types.ts'
import { discard, firstByte, keepFromCrashing } from './payload.ts'
import { precedenceOf } from './reply-precedence.ts'
import type { ReplyState } from './reply-state.ts'
import { blockWrites, breakOffUnless, isStreamed, prepareForError, snapshotSending } from './reply.ts'
import { assertSendable, readable, statusOf } from './sendable.ts'

/** What is left to the reply of which this is a part. */
export interface SentReply {
  readonly state: ReplyState
  readonly error: Error | undefined
  /** That of its request; it may be made while the reply goes out. */
  readonly scope: Scope | undefined
  /** Whether nothing has failed since the reply was begun that comes now. */
  readonly isLast: boolean
  decide (statusCode: number): Decision
  mapsErrors (): boolean
  /** What to answer with when the reply has failed with `error`; never, when the handler is run again. */
  instead (error: unknown, payload: unknown): Promise<unknown>
  /** It goes out. */
  passed (): void
}

/** `'send'`; or a promise of what to call for the payload, at once before it is sent; or `'drop'` when another reply goes out instead. */
export type Sending = 'send' | 'drop' | Promise<() => unknown>

/** A reply that comes to the last `onSend` hook: its outcome is carried out, before its head goes out. */
export class LastOnSend {
  readonly #answer: SentReply
  readonly #reply: FastifyReply
  /** Ends the wait for the reply's first byte. */
  #interrupt: ((error: Error) => void) | undefined

  constructor (answer: SentReply, reply: FastifyReply) {
    this.#answer = answer
    this.#reply = reply
  }

  /** A commit that waits for the reply's first byte waits no longer. */
  interrupt (error: Error): void {
    this.#interrupt?.(error)
  }

  /**
   * @param scope none where nobody has used it
   * @throws what stops the commit, or would keep the reply from being sent
   */
  end (scope: Scope | undefined, payload: unknown): Sending {
    const sending = scope === undefined ? 'send' : this.#end(scope, payload)
    if (sending === 'drop') discard(payload)
    else if (sending === 'send') this.#passes(payload)
    return sending
  }

  #end (scope: Scope, payload: unknown): Sending {
    switch (this.#precedence(scope)) {
      case 'superseded': return 'drop'
      case 'untrue': return this.#breakOff()
      case 'follows': return 'send'
      case 'decides': return this.#carryOut(scope, payload)
    }
  }

  /** The reply goes out as it is now. */
  #passes (payload: unknown): void {
    if (isStreamed(payload)) breakOffUnless(() => this.#isWhole(), this.#reply)
    this.#answer.passed()
  }

  #precedence (scope: Scope): ReturnType<typeof precedenceOf> {
    const { statusCode, raw: { headersSent, writableEnded } } = this.#reply
    const { state, error, isLast } = this.#answer
    // Another reply was written and ended by hand: it is the one that counts.
    return writableEnded ? 'superseded' : precedenceOf({ state, statusCode, headersSent, hasFailed: error !== undefined, isLast, scope })
  }

  #carryOut (scope: Scope, payload: unknown): Sending {
    const reply = this.#reply
    const decision = this.#answer.decide(statusOf(payload, reply))
    const { outcome } = decision
    scope.explain(decision)
    if (outcome === 'commit') this.#assertSendable(payload)
    if (outcome === 'commit' && scope.hasWork()) return this.#commit(scope, payload)
    keepFromCrashing(payload)
    const ended = scope.end(outcome)
    return ended === undefined ? 'send' : this.#ended(ended, payload, snapshotSending(reply))
  }

  #assertSendable (payload: unknown): void {
    try {
      assertSendable(payload, this.#reply)
    } catch (error) {
      discard(payload)
      throw prepareForError(this.#reply, error, this.#answer.mapsErrors())
    }
  }

  #commit (scope: Scope, payload: unknown): Sending {
    const reply = this.#reply
    const restore = snapshotSending(reply)
    const body = readable(payload, reply)
    keepFromCrashing(body)
    const ended = scope.end('commit', body instanceof Readable ? () => this.#ready(body) : undefined)
    return this.#ended(ended, body, restore, body === payload ? restore : snapshotSending(reply))
  }

  /** When the body has begun, or failed, or is not wanted any more; or the request has failed meanwhile. */
  async #ready (payload: Readable): Promise<void> {
    const failed = new Promise<never>((_resolve, reject) => { this.#interrupt = reject })
    await Promise.race([firstByte(payload, this.#reply), failed])
  }

  /**
   * Holds the reply as it is until the outcome is carried out: what is done to it meanwhile changes nothing.
   * @param restore makes it what it was before it was to be sent
   * @param settle makes it what it is now
   */
  async #ended (ended: Promise<void> | undefined, body: unknown, restore: () => void, settle = restore): Promise<() => unknown> {
    const reply = this.#reply
    const release = blockWrites(reply)
    try {
      await ended
    } catch (error) {
      release()
      restore()
      this.#answer.passed()
      const failure = await this.#answer.instead(error, body)
      discard(body)
      throw prepareForError(reply, failure, this.#answer.mapsErrors())
    }
    return () => {
      release()
      settle()
      this.#passes(body)
      return body
    }
  }

  #breakOff (): 'drop' {
    this.#reply.log.error({ err: this.#answer.error }, 'a reply failed after its commit and was broken off')
    this.#reply.raw.destroy()
    return 'drop'
  }

  /** Whether nothing has come after the commit that the client would take for part of it. */
  #isWhole (): boolean {
    const hasLost = this.#answer.scope?.hasLost() === true
    if (hasLost) this.#reply.log.error('a streamed reply was broken off: something was changed after the commit of its scope')
    return !hasLost
  }
}

export type SendDone = (error?: Error | null, payload?: unknown) => void

/**
 * Has Fastify send a reply.
 * @throws what Fastify throws, while another reply can be sent
 */
export function sendNow (reply: FastifyReply, send: () => void): void {
  const { raw, log } = reply
  try {
    send()
  } catch (err) {
    // Behind a head that is out, as where a trailer cannot be made, nobody would end it.
    if (!raw.headersSent || raw.writableEnded) throw err
    log.error({ err }, 'a reply failed behind its head and was broken off')
    raw.destroy()
  }
}

/** Sends a reply when its outcome is carried out, or gives Fastify what stops it. */
export function sendWhenEnded (ended: Promise<() => unknown>, reply: FastifyReply, done: SendDone): void {
  ended.then(send => {
    try {
      sendNow(reply, () => { done(null, send()) })
    } catch (error) {
      // What Fastify throws, it wants to hear of as an error of the hook.
      done(error as Error)
    }
  }, (error: unknown) => {
    // What is thrown may be nothing at all, which Fastify would take for success.
    done((error ?? new errorCodes.FST_ERR_SEND_UNDEFINED_ERR()) as Error)
  })
}
