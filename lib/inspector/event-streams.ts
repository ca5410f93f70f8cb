import type { FastifyReply } from 'fastify'
import type { ServerResponse } from 'node:http'
import type { Entry } from './entry.ts'

/** How long news is gathered, in milliseconds, before it is told. */
const PAUSE = 100

/** Everybody who looks, and is told of what has changed, by server-sent events. */
export class EventStreams {
  readonly #streams = new Set<ServerResponse>()
  readonly #changed = new Set<number>()
  #timer: NodeJS.Timeout | undefined

  open (reply: FastifyReply, headers: Record<string, string>): void {
    reply.hijack()
    const { raw } = reply
    raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
    raw.write('retry: 1000\n\n')
    this.#streams.add(raw)
    raw.once('close', () => { this.#streams.delete(raw) })
  }

  changed ({ id }: Entry): void {
    if (this.#streams.size === 0) return
    this.#changed.add(id)
    this.#timer ??= setTimeout(() => { this.#tell() }, PAUSE).unref()
  }

  /** The server closes, and waits for all replies. */
  end (): void {
    clearTimeout(this.#timer)
    for (const stream of this.#streams) stream.end()
  }

  #tell (): void {
    this.#timer = undefined
    const event = `event: changed\ndata: ${JSON.stringify([...this.#changed])}\n\n`
    this.#changed.clear()
    // One that does not read finds all of it with the next event.
    for (const stream of this.#streams) if (!stream.writableNeedDrain) stream.write(event)
  }
}
