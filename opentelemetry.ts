/** Spans and metrics of what the plugin does. Needs `@opentelemetry/api`. See docs/observability.md. */
export { ScopedDbInstrumentation } from './lib/opentelemetry/instrumentation.ts'
export type { ScopedDbInstrumentationConfig } from './lib/opentelemetry/config.ts'
