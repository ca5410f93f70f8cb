import { context, SpanKind, SpanStatusCode, trace, type Attributes, type Context, type Span, type Tracer } from '@opentelemetry/api'
import type { ConnectionMessage, ScopeMessage, StatementMessage, TraceMessage, TransactionMessage } from '../diagnostics/messages.ts'
import type { ScopeInfo } from '../types.ts'
import { errorAttributes, queryAttributes, targetAttributes } from './attributes.ts'
import type { Config } from './config.ts'

/** What is told while a span lasts. */
const SPANS = new WeakMap<TraceMessage, Span>()

/** What is told of each scope. */
const SCOPES = new WeakMap<ScopeInfo, ScopeMessage>()

/** The transactions of each scope that are open, the latest last. */
const TRANSACTIONS = new WeakMap<ScopeInfo, Map<TransactionMessage, Context>>()

/** A request as `@fastify/otel` decorates it. */
interface TracedRequest {
  opentelemetry? (): { readonly context: Context | null }
}

export function scopeOpened (message: ScopeMessage): void {
  SCOPES.set(message.scope, message)
}

/** A transaction is part of its request, whose span has begun it or not. */
export function transactionBegun (tracer: Tracer, message: TransactionMessage): void {
  const { scope, target, isolationLevel, readOnly } = message
  const parent = requestContext(scope) ?? context.active()
  const attributes: Attributes = { ...targetAttributes(target), 'fastify_scoped_db.read_only': readOnly }
  if (isolationLevel !== undefined) attributes['fastify_scoped_db.isolation_level'] = isolationLevel
  const span = tracer.startSpan('transaction', { kind: SpanKind.INTERNAL, attributes }, parent)
  SPANS.set(message, span)
  const open = TRANSACTIONS.get(scope) ?? new Map<TransactionMessage, Context>()
  TRANSACTIONS.set(scope, open.set(message, trace.setSpan(parent, span)))
}

export function transactionEnded (message: TransactionMessage): void {
  const { scope, outcome } = message
  const decided = SCOPES.get(scope)
  TRANSACTIONS.get(scope)?.delete(message)
  const attributes: Attributes = {}
  if (outcome !== undefined) attributes['fastify_scoped_db.outcome'] = outcome
  if (decided?.reason !== undefined) attributes['fastify_scoped_db.reason'] = decided.outcome === 'commit' && outcome !== 'commit' ? 'its commit has failed' : decided.reason
  end(message, attributes)
}

export function connectionAwaited (tracer: Tracer, message: ConnectionMessage): void {
  const attributes = { ...targetAttributes(message.target), 'db.client.connection.pool.name': message.database }
  SPANS.set(message, tracer.startSpan('wait for connection', { kind: SpanKind.INTERNAL, attributes }, parentOf(message)))
}

export function statementSent (tracer: Tracer, message: StatementMessage, config: Config): void {
  const attributes = queryAttributes(message, config)
  SPANS.set(message, tracer.startSpan(String(attributes['db.query.summary']), { kind: SpanKind.CLIENT, attributes }, parentOf(message)))
}

/** What was told of is over. */
export function end (message: TraceMessage, attributes?: Attributes): void {
  const span = SPANS.get(message)
  if (span === undefined) return
  SPANS.delete(message)
  if (attributes !== undefined) span.setAttributes(attributes)
  if (message.error !== undefined) span.setAttributes(errorAttributes(message.error)).setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

/** The span of the code that has asked for it, if it has one. */
function parentOf ({ scope }: TraceMessage): Context {
  const active = context.active()
  if (trace.getSpan(active) !== undefined) return active
  return requestContext(scope) ?? [...TRANSACTIONS.get(scope)?.values() ?? []].at(-1) ?? active
}

function requestContext ({ request }: ScopeInfo): Context | undefined {
  const traced = request as TracedRequest | undefined
  return typeof traced?.opentelemetry === 'function' ? traced.opentelemetry().context ?? undefined : undefined
}
