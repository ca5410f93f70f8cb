import { metrics, trace, type MeterProvider, type Tracer, type TracerProvider } from '@opentelemetry/api'
import { CONNECTION, SCOPE, STATEMENT, TRANSACTION } from '../diagnostics/channels.ts'
import type { ConnectionMessage, ScopeMessage, StatementMessage, TransactionMessage } from '../diagnostics/messages.ts'
import { DEFAULTS, type Config, type ScopedDbInstrumentationConfig } from './config.ts'
import { Metrics } from './metrics.ts'
import { connectionAwaited, end, scopeOpened, statementSent, transactionBegun, transactionEnded } from './spans.ts'

type Listener = (message: unknown, name: string | symbol) => void

/** The events of the channels that it listens to. */
interface Subscription {
  readonly event: { subscribe (listener: Listener): void, unsubscribe (listener: Listener): unknown }
  readonly listener: Listener
}

const on = <Message>(event: Subscription['event'], listener: (message: Message) => void): Subscription => ({ event, listener: listener as Listener })

/**
 * Makes spans and metrics of all that is told on the tracing channels, of all applications in the process. OpenTelemetry's SDK takes it as one of its
 * `instrumentations`; alone, it uses the providers that are registered globally.
 *
 * @example
 * new NodeSDK({ instrumentations: [new ScopedDbInstrumentation()] }).start()
 */
export class ScopedDbInstrumentation {
  /** The name of what it makes. */
  readonly instrumentationName = 'fastify-scoped-db'
  /** The version of this package. */
  readonly instrumentationVersion = '0.1.0'
  #config: Config
  #tracer: Tracer
  #metrics: Metrics
  #subscriptions: readonly Subscription[] = []

  constructor (config: ScopedDbInstrumentationConfig = {}) {
    this.#config = { ...DEFAULTS, ...config }
    this.#tracer = this.#tracerOf(trace)
    this.#metrics = this.#metricsOf(metrics)
    if (this.#config.enabled) this.enable()
  }

  /** Begins to listen. Called again, it does nothing. */
  enable (): void {
    if (this.#subscriptions.length > 0) return
    this.#subscriptions = this.#all()
    for (const { event, listener } of this.#subscriptions) event.subscribe(listener)
  }

  /** Listens no longer, so that nothing is told any more. What has begun does not end. */
  disable (): void {
    for (const { event, listener } of this.#subscriptions) event.unsubscribe(listener)
    this.#subscriptions = []
  }

  /** Has spans made elsewhere. */
  setTracerProvider (provider: TracerProvider): void {
    this.#tracer = this.#tracerOf(provider)
  }

  /** Has metrics made elsewhere. */
  setMeterProvider (provider: MeterProvider): void {
    this.#metrics = this.#metricsOf(provider)
  }

  /** What it goes by. */
  getConfig (): Config {
    return this.#config
  }

  /** Goes by something else from now on; `statements` counts from the next `enable()` on. */
  setConfig (config: ScopedDbInstrumentationConfig): void {
    this.#config = { ...DEFAULTS, ...config }
  }

  #tracerOf (provider: Pick<TracerProvider, 'getTracer'>): Tracer {
    return provider.getTracer(this.instrumentationName, this.instrumentationVersion)
  }

  #metricsOf (provider: Pick<MeterProvider, 'getMeter'>): Metrics {
    return new Metrics(provider.getMeter(this.instrumentationName, this.instrumentationVersion))
  }

  #all (): Subscription[] {
    return [
      on(SCOPE.start, (message: ScopeMessage) => {
        scopeOpened(message)
        this.#metrics.scopeOpened(message)
      }),
      on(SCOPE.asyncEnd, (message: ScopeMessage) => { this.#metrics.scopeClosed(message) }),
      on(TRANSACTION.start, (message: TransactionMessage) => { transactionBegun(this.#tracer, message) }),
      on(TRANSACTION.asyncEnd, (message: TransactionMessage) => {
        transactionEnded(message)
        this.#metrics.transactionEnded(message)
      }),
      on(CONNECTION.start, (message: ConnectionMessage) => {
        connectionAwaited(this.#tracer, message)
        this.#metrics.connectionAwaited(message)
      }),
      on(CONNECTION.asyncStart, (message: ConnectionMessage) => {
        end(message)
        this.#metrics.waitEnded(message)
      }),
      on(CONNECTION.asyncEnd, (message: ConnectionMessage) => { this.#metrics.connectionReturned(message) }),
      ...this.#config.statements ? this.#statements() : []
    ]
  }

  #statements (): Subscription[] {
    return [
      on(STATEMENT.start, (message: StatementMessage) => { statementSent(this.#tracer, message, this.#config) }),
      on(STATEMENT.asyncEnd, (message: StatementMessage) => {
        end(message)
        this.#metrics.statementEnded(message)
      })
    ]
  }
}
