import type { FastifyReply, FastifyRequest } from 'fastify'
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Database } from '../application/database.ts'
import type { ClientWrites } from '../application/session-settings.ts'
import type { ReadYourWritesOptions } from '../options/replica-options.ts'
import type { Replicas } from '../replicas/replicas.ts'

/** Those of each request that has a session which tells of its commits, or reads from replicas. */
const WRITES = new WeakMap<FastifyRequest, SignedWrites[]>()

/** What the client of a request has written to a database, where it is told of that. */
export function clientWrites (request: FastifyRequest, { name, replicas, settings: { readYourWrites } }: Database): ClientWrites | undefined {
  if (readYourWrites === undefined || replicas === undefined) return undefined
  const all = WRITES.get(request) ?? []
  let writes = all.find(({ database }) => database === name)
  if (writes === undefined) {
    writes = new SignedWrites(request, name, readYourWrites, replicas)
    WRITES.set(request, [...all, writes])
  }
  return writes
}

/** Tells the client what it has written, with the head of the reply. */
export function tellWrites (request: FastifyRequest, reply: FastifyReply): void {
  const all = WRITES.get(request)
  if (all !== undefined && !reply.raw.headersSent) for (const writes of all) writes.tell(reply)
}

/** Positions in one database's log as they go to a client and come back: signed, so that nobody can have others wait for what never comes. */
class SignedWrites implements ClientWrites {
  readonly database: string
  readonly #request: FastifyRequest
  readonly #options: ReadYourWritesOptions
  readonly #replicas: Replicas
  #committed: string | undefined

  constructor (request: FastifyRequest, database: string, options: ReadYourWritesOptions, replicas: Replicas) {
    this.#request = request
    this.database = database
    this.#options = options
    this.#replicas = replicas
  }

  get wanted (): string | undefined {
    return this.#committed ?? this.#verified(this.#given())
  }

  committed (position: string): void {
    this.#committed = this.#committed === undefined ? position : this.#replicas.later(this.#committed, position)
  }

  tell (reply: FastifyReply): void {
    if (this.#committed === undefined) return
    const { cookie, header } = this.#options
    const token = `${this.#committed}.${this.#sign(this.#committed).toString('base64url')}`
    if (header !== undefined) reply.header(header, token)
    if (cookie === undefined) return
    const line = `${cookie}=${token}; Path=/; HttpOnly; SameSite=Lax`
    // An error may have taken the place of a reply that had it.
    if (![reply.getHeader('set-cookie')].flat().includes(line)) reply.header('set-cookie', line)
  }

  #given (): string | undefined {
    const { cookie, header } = this.#options
    const { headers } = this.#request
    const given = header === undefined ? undefined : headers[header.toLowerCase()]
    if (typeof given === 'string' || cookie === undefined) return given as string | undefined
    return headers.cookie?.split(/; */).find(one => one.startsWith(`${cookie}=`))?.slice(cookie.length + 1)
  }

  /** What was changed on its way, signed by others, or is of another database, is ignored. */
  #verified (token: string | undefined): string | undefined {
    const [position = '', signature = ''] = token?.split('.') ?? []
    const given = Buffer.from(signature, 'base64url')
    const signed = this.#sign(position)
    return given.length === signed.length && timingSafeEqual(given, signed) && this.#replicas.isPosition(position) ? position : undefined
  }

  #sign (position: string): Buffer {
    return createHmac('sha256', this.#options.secret).update(JSON.stringify([this.database, position])).digest()
  }
}
