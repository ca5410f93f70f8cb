import type { Outcome, ScopeKind } from '../types.ts'
import type { Failure } from './failure.ts'

/** A statement that was sent. Times are in milliseconds, `at` from the beginning of its entry. */
export interface SentStatement {
  readonly database: string
  readonly sql: string
  /** Its parameters, as the database's own literals. Undefined where they were too large to be kept. */
  readonly literals: readonly string[] | undefined
  readonly kind: 'read' | 'doubtful' | 'write' | 'control'
  readonly inTransaction: boolean
  readonly place: string | undefined
  readonly at: number
  duration?: number | undefined
  rows?: number | undefined
  error?: Failure | undefined
}

/** A connection that was waited for, and held. */
export interface UsedConnection {
  readonly database: string
  readonly at: number
  waited?: number | undefined
  held?: number | undefined
}

/** What a request is known by. */
export interface RequestFacts {
  readonly id: string
  readonly method: string
  readonly url: string
  readonly route: string | undefined
}

/** How many statements are kept of one: it can be a job that runs for hours. */
const MOST = 1_000

/** One request, `db.run()` or `db.open()`, as the page shows it. */
export class Entry {
  readonly id: number
  readonly kind: ScopeKind
  readonly request: RequestFacts | undefined
  readonly time = Date.now()
  readonly statements: SentStatement[] = []
  readonly connections: UsedConnection[] = []
  /** How many statements were sent, beside those that begin and end transactions. */
  sent = 0
  /** How long the database has worked for it. */
  databaseTime = 0
  /** How long connections were waited for, and held. */
  waited = 0
  held = 0
  status: number | undefined
  hasClientLeft = false
  outcome: Outcome | undefined
  reason: string | undefined
  error: Failure | undefined
  /** When the reply went out, or the client. */
  replied: number | undefined
  /** How much was told of it, for whoever looks again. */
  version = 0
  /** How many statements were not kept. */
  leftOut = 0
  readonly #begun = performance.now()
  #openScopes = 0
  #ended = 0

  constructor (id: number, kind: ScopeKind, request: RequestFacts | undefined) {
    this.id = id
    this.kind = kind
    this.request = request
  }

  /** The milliseconds since it has begun. */
  now (): number {
    return performance.now() - this.#begun
  }

  get isRunning (): boolean {
    return this.#openScopes > 0 || (this.request !== undefined && this.replied === undefined)
  }

  /** How long it took, or takes up to now. */
  get duration (): number {
    return this.isRunning ? this.now() : this.#ended
  }

  opened (): void {
    this.#openScopes++
  }

  closed (): void {
    this.#openScopes--
    this.#ended = this.now()
  }

  answered (status: number): void {
    this.status = status
    this.#ended = this.replied = this.now()
  }

  abandoned (): void {
    this.hasClientLeft = true
    this.#ended = this.replied = this.now()
  }

  /** @param kept what there is room for of it, if there is any */
  sentStatement (kind: SentStatement['kind'], kept: SentStatement | undefined): void {
    if (kind !== 'control') this.sent++
    if (kept !== undefined && this.statements.length < MOST) this.statements.push(kept)
    else this.leftOut++
  }
}
