import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace'
import type { Test } from 'tap'
import { ScopedDbInstrumentation, type ScopedDbInstrumentationConfig } from '../../opentelemetry.ts'

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

/** A span, in short. */
export interface Told {
  readonly name: string
  readonly attributes: Record<string, unknown>
  /** The name of the span that it is in. */
  readonly parent: string | undefined
  readonly failed: boolean
}

/** OpenTelemetry's SDK, for as long as the test lasts. */
export function telemetry (t: Test, config: ScopedDbInstrumentationConfig = {}) {
  const exporter = new InMemorySpanExporter()
  const tracers = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 2 ** 30, exportTimeoutMillis: 1_000 })
  const meters = new MeterProvider({ readers: [reader] })
  const instrumentation = new ScopedDbInstrumentation({ enabled: false, ...config })
  instrumentation.setTracerProvider(tracers)
  instrumentation.setMeterProvider(meters)
  instrumentation.enable()
  instrumentation.enable()
  t.teardown(async () => {
    instrumentation.disable()
    await Promise.all([tracers.shutdown(), meters.shutdown()])
  })
  return {
    instrumentation,
    tracers,
    tracer: tracers.getTracer('test'),
    /** What has ended since the last time, in its order. */
    spans (): Told[] {
      const spans = exporter.getFinishedSpans()
      exporter.reset()
      return spans.map(span => told(span, spans))
    },
    /** The sum, or the count, of a metric for some attributes; undefined where there is none. */
    async total (name: string, attributes: Record<string, unknown> = {}): Promise<number | undefined> {
      metrics.reset()
      await meters.forceFlush()
      const points = metrics.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics).flatMap(scope => scope.metrics).filter(({ descriptor }) => descriptor.name === name).flatMap(({ dataPoints }) => dataPoints as { attributes: Record<string, unknown>, value: unknown }[])
      const meant = points.filter(point => Object.entries(attributes).every(([key, value]) => point.attributes[key] === value))
      return meant.length === 0 ? undefined : meant.reduce((sum, { value }) => sum + (typeof value === 'number' ? value : (value as { count: number }).count), 0)
    }
  }
}

function told (span: ReadableSpan, all: readonly ReadableSpan[]): Told {
  const parent = all.find(other => other.spanContext().spanId === span.parentSpanContext?.spanId)
  return { name: span.name, attributes: span.attributes, parent: parent?.name, failed: span.status.code === 2 }
}

export { context, trace }
