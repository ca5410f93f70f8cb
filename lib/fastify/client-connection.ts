import type { FastifyReply } from 'fastify'
import type { EventEmitter } from 'node:events'
import type { ServerHttp2Stream } from 'node:http2'
import type { ReplyState } from './reply-state.ts'

/** What the end of a connection is told to. */
export interface Answering {
  readonly state: ReplyState
  /** The reply has gone out. */
  responded (): void
  /** The connection has ended after the reply had gone out. */
  connectionEnded (): void
  /** The client has left before a reply had gone out. */
  clientLeft (): void
}

/** The connection of a client whose request has a session. When it ends, the scope ends, also where Fastify calls no hook any more. */
export class ClientConnection {
  readonly #reply: FastifyReply
  readonly #answering: Answering

  constructor (reply: FastifyReply, answering: Answering) {
    this.#reply = reply
    this.#answering = answering
  }

  /** From now on its end is told; at once, where it has ended already. Called again, it listens once all the same. */
  watch (): void {
    const { raw } = this.#reply
    const connection = connectionOf(raw)
    raw.off('finish', this.#sent)
    connection.off('close', this.#end)
    if (isClosed(raw)) {
      this.#end()
    } else {
      raw.once('finish', this.#sent)
      connection.once('close', this.#end)
    }
  }

  readonly #sent = (): void => { this.#answering.responded() }

  readonly #end = (): void => {
    // Where that was not heard: it was not listened to then, or a reply of HTTP/2 has closed first.
    if (this.#answering.state !== 'sent' && this.#reply.raw.writableFinished) this.#sent()
    if (this.#answering.state === 'sent') this.#answering.connectionEnded()
    else this.#answering.clientLeft()
  }
}

/** Whether the client has gone: an HTTP/2 reply only says so through its stream. */
export function isClosed (raw: FastifyReply['raw']): boolean {
  return raw.destroyed || raw.closed || streamOf(raw)?.destroyed === true
}

/** A reply of HTTP/2 does not even emit `close` for a HEAD whose client leaves. Its stream does, after the reply's own events. */
export function connectionOf (raw: FastifyReply['raw']): EventEmitter {
  return streamOf(raw) ?? raw
}

function streamOf (raw: FastifyReply['raw']): ServerHttp2Stream | undefined {
  return (raw as { stream?: ServerHttp2Stream }).stream
}
