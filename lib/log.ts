/** Where to report what nobody waits for. Fastify's loggers fit. */
export interface Log {
  warn (details: object, message: string): void
  error (details: object, message: string): void
}
