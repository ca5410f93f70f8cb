import type { FastifyRequest } from 'fastify'

export type Outcome = 'commit' | 'rollback'

/** An outcome, and why it is this one. */
export interface Decision {
  readonly outcome: Outcome
  readonly reason: string
  /** Whether somebody is told otherwise, and should hear of it: a 2xx or 3xx that is rolled back, or a reply that was written by hand. */
  readonly isSurprising?: boolean
}

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
  isLevelEnabled? (level: string): boolean
  trace (details: object, message: string): void
  debug (details: object, message: string): void
  info (details: object, message: string): void
  warn (details: object, message: string): void
  error (details: object, message: string): void
  fatal (details: object, message: string): void
}
