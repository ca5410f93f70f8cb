import type { FastifyRequest } from 'fastify'

export type Outcome = 'commit' | 'rollback'

/** What scopes are made for. */
export type ScopeKind = 'request' | 'db.run' | 'db.open'

/** What a scope is for, for whoever is told of it. */
export interface ScopeInfo {
  /** Whether it is a request's, or one of `db.run()` or `db.open()`. */
  readonly kind: ScopeKind
  /** Undefined in `db.run()` and `db.open()`. */
  readonly request?: FastifyRequest | undefined
}

/** Where to report what nobody waits for. Fastify's loggers fit. */
export interface Log {
  warn (details: object, message: string): void
  error (details: object, message: string): void
}
