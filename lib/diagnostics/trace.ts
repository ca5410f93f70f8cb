import type { TracingChannel } from 'node:diagnostics_channel'
import type { TraceMessage } from './messages.ts'

const now = performance.now.bind(performance)

/**
 * One thing that takes a while, told of on a tracing channel. The events are those of Node's `tracePromise()`: `start` and `end` when it
 * begins, `asyncStart` and `asyncEnd` when it is over, with `error` ahead of both if it has failed.
 */
export class Trace<Message extends TraceMessage> {
  readonly message: Message
  readonly #channel: TracingChannel<unknown, Message>
  readonly #begun = now()
  #state: 'begun' | 'arrived' | 'over' = 'begun'

  constructor (channel: TracingChannel<unknown, Message>, message: Message) {
    this.#channel = channel
    this.message = message
    channel.start.publish(message)
    channel.end.publish(message)
  }

  /** How long it has taken up to now, in milliseconds. */
  get elapsed (): number {
    return now() - this.#begun
  }

  /** What was waited for is there, and is used from now on. */
  arrive (found: Partial<Message>): void {
    this.#state = 'arrived'
    Object.assign(this.message, found)
    this.#channel.asyncStart.publish(this.message)
  }

  /** It is over. Called again, it does nothing. */
  end (found: Partial<Message>): void {
    if (this.#state === 'over') return
    Object.assign(this.message, { duration: this.elapsed }, found)
    if (this.message.error !== undefined) this.#channel.error.publish(this.message)
    if (this.#state === 'begun') this.#channel.asyncStart.publish(this.message)
    this.#state = 'over'
    this.#channel.asyncEnd.publish(this.message)
  }
}
