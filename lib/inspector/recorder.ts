import type { FastifyRequest } from 'fastify'
import type { DatabaseHost } from '../application/database.ts'
import { CONNECTION, SCOPE, STATEMENT } from '../diagnostics/channels.ts'
import type { ConnectionMessage, ScopeMessage, StatementMessage } from '../diagnostics/messages.ts'
import type { ScopeInfo } from '../types.ts'
import { Entry, type SentStatement, type UsedConnection } from './entry.ts'
import { failureOf } from './failure.ts'
import { literalsOf } from './literals.ts'
import type { Ring } from './ring.ts'

/** What a statement takes besides its texts, more or less. */
const STATEMENT_SIZE = 300

/** What a connection takes. */
const CONNECTION_SIZE = 150

/** How much is kept of the text of a statement that there is no room for. */
const CUT = 1_000

/** Where the routes of the page have a mark in their `config`. */
export const OWN = Symbol('fastify-scoped-db.inspector')

/** Puts into a ring what the tracing channels tell of one application, and what Fastify tells of its requests. */
export class Recorder {
  readonly #ring: Ring
  readonly #host: DatabaseHost
  /** By Fastify's request, or by the scope that has none. */
  readonly #entries = new WeakMap<object, Entry>()
  readonly #statements = new WeakMap<StatementMessage, SentStatement>()
  readonly #connections = new WeakMap<ConnectionMessage, UsedConnection>()
  #lastId = 0
  #isBlind = false

  constructor (ring: Ring, host: DatabaseHost) {
    this.#ring = ring
    this.#host = host
  }

  /** @returns a function that ends it */
  subscribe (): () => void {
    const channels = [
      [SCOPE, { start: this.#scopeOpened, asyncEnd: this.#scopeClosed }],
      [STATEMENT, { start: this.#statementSent, asyncEnd: this.#statementAnswered }],
      [CONNECTION, { start: this.#connectionAwaited, asyncStart: this.#connectionArrived, asyncEnd: this.#connectionReleased }]
    ] as unknown as [typeof SCOPE, Required<Parameters<typeof SCOPE.subscribe>[0]>][]
    for (const [channel, listeners] of channels) channel.subscribe(listeners)
    return () => { for (const [channel, listeners] of channels) channel.unsubscribe(listeners) }
  }

  /** Sees nothing of the scopes that `open` opens. */
  unseen<T> (open: () => T): T {
    this.#isBlind = true
    try {
      return open()
    } finally {
      this.#isBlind = false
    }
  }

  requested (request: FastifyRequest): void {
    if (!isOwn(request)) this.#entryOf(request)
  }

  answered (request: FastifyRequest, status: number): void {
    this.#tell(this.#entries.get(request), entry => { entry.answered(status) })
  }

  abandoned (request: FastifyRequest): void {
    this.#tell(this.#entries.get(request), entry => { entry.abandoned() })
  }

  readonly #scopeOpened = (message: ScopeMessage): void => {
    const { scope, host } = message
    if (this.#isBlind || host !== this.#host || isOwn(scope.request)) return
    const entry = scope.request === undefined ? this.#add(scope, new Entry(++this.#lastId, scope.kind, undefined)) : this.#entryOf(scope.request)
    message.hasPlaces = true
    this.#tell(entry, () => { entry.opened() })
  }

  readonly #scopeClosed = ({ scope, outcome, reason, error }: ScopeMessage): void => {
    this.#tell(this.#of(scope), entry => {
      Object.assign(entry, { outcome, reason, error: failureOf(error) })
      entry.closed()
    })
  }

  readonly #statementSent = (message: StatementMessage): void => {
    const entry = this.#of(message.scope)
    if (entry === undefined) return
    const { database, sql, parameters, kind, inTransaction, place } = message
    const platform = this.#host.use(database).orm.driver.getPlatform()
    const literals = literalsOf(parameters, value => platform.quoteValue(value))
    const statement: SentStatement = { database, sql, literals, kind, inTransaction, place, at: entry.now() }
    const kept = [statement, { ...statement, sql: shorten(sql), literals: undefined }].find(one => this.#ring.hasRoom(entry, sizeOf(one)))
    entry.sentStatement(kind, kept)
    if (kept !== undefined) this.#statements.set(message, kept)
    this.#ring.grow(entry, kept === undefined ? 0 : sizeOf(kept))
  }

  readonly #statementAnswered = (message: StatementMessage): void => {
    this.#tell(this.#of(message.scope), entry => {
      const { duration, rows, error } = message
      entry.databaseTime += Number(duration)
      Object.assign(this.#statements.get(message) ?? {}, { duration, rows, error: failureOf(error) })
    })
  }

  readonly #connectionAwaited = (message: ConnectionMessage): void => {
    const entry = this.#of(message.scope)
    if (entry === undefined || !this.#ring.hasRoom(entry, CONNECTION_SIZE)) return
    const connection = { database: message.database, at: entry.now() }
    entry.connections.push(connection)
    this.#connections.set(message, connection)
    this.#ring.grow(entry, CONNECTION_SIZE)
  }

  readonly #connectionArrived = (message: ConnectionMessage): void => {
    this.#tell(this.#of(message.scope), entry => {
      const waited = Number(message.waited)
      entry.waited += waited
      Object.assign(this.#connections.get(message) ?? {}, { waited })
    })
  }

  readonly #connectionReleased = (message: ConnectionMessage): void => {
    this.#tell(this.#of(message.scope), entry => {
      const { held = 0 } = message
      entry.held += held
      Object.assign(this.#connections.get(message) ?? {}, { held })
    })
  }

  #of (scope: ScopeInfo): Entry | undefined {
    return this.#entries.get(scope.request ?? scope)
  }

  #entryOf (request: FastifyRequest): Entry {
    const known = this.#entries.get(request)
    if (known !== undefined) return known
    const { id, method, url, routeOptions } = request
    return this.#add(request, new Entry(++this.#lastId, 'request', { id, method, url, route: routeOptions.url }))
  }

  #add (key: object, entry: Entry): Entry {
    this.#entries.set(key, entry)
    this.#ring.add(entry)
    return entry
  }

  #tell (entry: Entry | undefined, news: (entry: Entry) => void): void {
    if (entry === undefined) return
    news(entry)
    this.#ring.grow(entry)
  }
}

function sizeOf ({ sql, literals = [] }: SentStatement): number {
  return STATEMENT_SIZE + 2 * [sql, ...literals].reduce((sum, { length }) => sum + length, 0)
}

function shorten (sql: string): string {
  return sql.length > CUT ? `${sql.slice(0, CUT)}…` : sql
}

function isOwn (request: FastifyRequest | undefined): boolean {
  return request !== undefined && OWN in request.routeOptions.config
}
