import type { Attributes, Counter, Histogram, Meter, UpDownCounter } from '@opentelemetry/api'
import type { ConnectionMessage, ScopeMessage, StatementMessage, TransactionMessage } from '../diagnostics/messages.ts'
import { AcquireTimeoutError } from '../errors/errors.ts'
import { errorAttributes, summaryAttributes, targetAttributes } from './attributes.ts'

/** The buckets that the conventions ask for, in seconds. */
const BUCKETS = { advice: { explicitBucketBoundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] } }

/** Everything that is counted and timed. */
export class Metrics {
  /** Those that it has counted: what began before that is not to end. */
  readonly #awaited = new WeakSet<ConnectionMessage>()
  readonly #durations: Histogram
  readonly #connections: UpDownCounter
  readonly #pending: UpDownCounter
  readonly #waits: Histogram
  readonly #uses: Histogram
  readonly #timeouts: Counter
  readonly #transactions: Counter
  readonly #scopes: Counter
  readonly #retries: Counter

  constructor (meter: Meter) {
    this.#durations = meter.createHistogram('db.client.operation.duration', { unit: 's', description: 'Duration of database client operations.', ...BUCKETS })
    this.#connections = meter.createUpDownCounter('db.client.connection.count', { unit: '{connection}', description: 'The number of connections that are currently in state described by the state attribute.' })
    this.#pending = meter.createUpDownCounter('db.client.connection.pending_requests', { unit: '{request}', description: 'The number of current pending requests for an open connection.' })
    this.#waits = meter.createHistogram('db.client.connection.wait_time', { unit: 's', description: 'The time it took to obtain an open connection from the pool.', ...BUCKETS })
    this.#uses = meter.createHistogram('db.client.connection.use_time', { unit: 's', description: 'The time between borrowing a connection and returning it to the pool.', ...BUCKETS })
    this.#timeouts = meter.createCounter('db.client.connection.timeouts', { unit: '{timeout}', description: 'The number of connection timeouts that have occurred trying to obtain a connection from the pool.' })
    this.#transactions = meter.createCounter('fastify_scoped_db.transactions', { unit: '{transaction}', description: 'Transactions that have ended, by what has become of them.' })
    this.#scopes = meter.createCounter('fastify_scoped_db.scopes', { unit: '{scope}', description: 'Requests that have used a database, and the like, by their outcome and its reason.' })
    this.#retries = meter.createCounter('fastify_scoped_db.retries', { unit: '{retry}', description: 'How often a unit of work was done again.' })
  }

  statementEnded (message: StatementMessage): void {
    this.#durations.record(seconds(message.duration), { ...summaryAttributes(message), ...failure(message.error) })
  }

  connectionAwaited (message: ConnectionMessage): void {
    this.#awaited.add(message)
    this.#pending.add(1, pool(message.database))
  }

  /** It has come, or none will. */
  waitEnded (message: ConnectionMessage): void {
    if (!this.#awaited.has(message)) return
    const { database, waited, error } = message
    this.#pending.add(-1, pool(database))
    if (error === undefined) {
      this.#waits.record(seconds(waited), pool(database))
      this.#connections.add(1, used(database))
    } else if ((error as { code?: unknown }).code === TIMEOUT) this.#timeouts.add(1, pool(database))
  }

  connectionReturned (message: ConnectionMessage): void {
    const { database, held } = message
    if (held === undefined || !this.#awaited.has(message)) return
    this.#connections.add(-1, used(database))
    this.#uses.record(seconds(held), pool(database))
  }

  transactionEnded ({ target, outcome, error }: TransactionMessage): void {
    this.#transactions.add(1, { ...targetAttributes(target), ...outcome !== undefined && { 'fastify_scoped_db.outcome': outcome }, ...failure(error) })
  }

  scopeOpened ({ scope: { kind }, attempt }: ScopeMessage): void {
    if (attempt > 1) this.#retries.add(1, { 'fastify_scoped_db.scope': kind })
  }

  scopeClosed ({ scope: { kind }, outcome, reason }: ScopeMessage): void {
    this.#scopes.add(1, { 'fastify_scoped_db.scope': kind, 'fastify_scoped_db.outcome': outcome, 'fastify_scoped_db.reason': reason })
  }
}

const TIMEOUT = new AcquireTimeoutError(0).code

function pool (database: string): Attributes {
  return { 'db.client.connection.pool.name': database }
}

function used (database: string): Attributes {
  return { ...pool(database), 'db.client.connection.state': 'used' }
}

function failure (error: unknown): Attributes | undefined {
  return error === undefined ? undefined : errorAttributes(error)
}

function seconds (milliseconds = 0): number {
  return milliseconds / 1_000
}
