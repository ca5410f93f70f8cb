/**
 * Reports on the timeline when each request's scope and session come and go. It only looks: take it away and the
 * application does the same.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SessionOptions } from '../../plugin.ts'
import type { Timeline } from './timeline.ts'

/** What is known of a request that is not over yet. */
interface Sighting {
  /** When the session was made, until that is reported. */
  openedAt?: number | undefined
  session?: number | undefined
  /** Resolved when the handler has come to an end. */
  readonly handled: PromiseWithResolvers<void>
  /** Resolved when its session is closed. */
  readonly closed: PromiseWithResolvers<void>
}

interface LogLine {
  readonly level: number
  readonly msg: string
  readonly reqId?: string
  /** What the library's warning about unflushed changes counts. */
  readonly unflushed?: object
}

const LEVELS: Record<number, string> = { 40: 'warning', 50: 'error', 60: 'fatal' }

export class Observer {
  readonly #timeline: Timeline
  readonly #sightings = new Map<FastifyRequest, Sighting>()
  readonly #ends = new Set<Promise<void>>()

  constructor (timeline: Timeline) {
    this.#timeline = timeline
  }

  /** For the plugin's option of this name, which is asked at the moment when a session is made. */
  readonly sessionOptions = (request: FastifyRequest | undefined): SessionOptions => {
    const sighting = request && this.#sightings.get(request)
    if (request !== undefined && sighting !== undefined) {
      sighting.openedAt = this.#timeline.now()
      // It has no id before it is made.
      queueMicrotask(() => this.#reportSession(request))
    }
    return {}
  }

  /** For Fastify's logger. */
  readonly log = {
    write: (line: string): void => {
      const { level, msg, reqId = '-', unflushed } = JSON.parse(line) as LogLine
      const session = [...this.#sightings].find(([request]) => request.id === reqId)?.[1].session
      const details = unflushed === undefined ? '' : ` ${JSON.stringify(unflushed)}`
      this.#timeline.entry({ scope: reqId, session, what: `log, ${LEVELS[level]}: ${firstSentence(msg)}${details}` })
    }
  }

  watch (app: FastifyInstance): void {
    app.db.on('closed', ({ request }) => { if (request !== undefined) this.#sightings.get(request)?.closed.resolve() })
    app.addHook('onRequest', async (request, reply) => {
      const end = this.#follow(app, request, reply).finally(() => this.#ends.delete(end))
      this.#ends.add(end)
      this.tell(request, `${request.method} ${request.url}: scope opened, ${app.db.hasSession() ? 'with a session' : 'no session yet'}`)
    })
    app.addHook('onSend', async (request, reply) => {
      if (reply.raw.closed) this.tell(request, `the handler has ended with ${reply.statusCode}; nobody listens`)
      this.#sightings.get(request)?.handled.resolve()
    })
    app.addHook('onResponse', async (request, reply) => {
      this.tell(request, `answered ${reply.statusCode}`)
    })
  }

  tell (request: FastifyRequest, what: string): void {
    this.#reportSession(request)
    this.#timeline.entry({ scope: request.id, session: this.#sightings.get(request)?.session, what })
  }

  /** Resolves when every request so far is over and its session removed. */
  async quiet (): Promise<void> {
    await Promise.all(this.#ends)
  }

  #reportSession (request: FastifyRequest): void {
    const sighting = this.#sightings.get(request)
    if (sighting?.openedAt === undefined) return
    const { openedAt } = sighting
    sighting.openedAt = undefined
    sighting.session = request.db.id
    this.#timeline.entry({ scope: request.id, session: sighting.session, what: 'session opened, on first use', at: openedAt })
  }

  async #follow (app: FastifyInstance, request: FastifyRequest, { raw }: FastifyReply): Promise<void> {
    const sighting: Sighting = { handled: Promise.withResolvers(), closed: Promise.withResolvers() }
    this.#sightings.set(request, sighting)
    await new Promise<void>(resolve => raw.once('close', resolve))
    if (!raw.writableFinished) this.tell(request, 'the client has gone')
    if (sighting.session !== undefined) {
      await sighting.closed.promise
      // Its scope ends with it, in the same turn.
      await nextTurn()
      this.tell(request, `session removed; sessions left open: ${app.db.openScopes}`)
    }
    await sighting.handled.promise
    this.#sightings.delete(request)
  }
}

function firstSentence (text: string): string {
  return text.replace(/\. .*/s, '')
}
