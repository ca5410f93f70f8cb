import type { Outcome, ScopeInfo } from '../types.ts'

/** What each message has. The same object goes through all events of one statement, transaction, connection or scope. */
export interface TraceMessage {
  /** The scope that it is of: the same object for all that one scope does. */
  readonly scope: ScopeInfo
  /** The URL of the request's route, as it was declared. Undefined where there is none. */
  readonly route: string | undefined
  /** How long it took, in milliseconds. From `asyncEnd` on. */
  duration?: number | undefined
  /** What it has failed with. */
  error?: unknown
}

/** Where a database is. */
export interface DatabaseTarget {
  /** Its product, by the name that OpenTelemetry has for it: `'postgresql'`, `'mysql'`, ... */
  readonly system: string
  /** Its name there. */
  readonly namespace: string | undefined
  /** The host. Undefined in this process, and where there are replicas. */
  readonly address: string | undefined
  /** The port of that. */
  readonly port: number | undefined
}

/** What is of one database. */
export interface DatabaseMessage extends TraceMessage {
  /** The name that the database is registered under. */
  readonly database: string
  /** Where it is: the same object for all that is of one database. */
  readonly target: DatabaseTarget
}

/** A statement that is sent to a database. */
export interface StatementMessage extends DatabaseMessage {
  /** Its text, as it is sent, but for the comment of `tagStatements`. */
  readonly sql: string
  /** The values for its placeholders: they can be secret. */
  readonly parameters: readonly unknown[]
  /**
   * - `'read'`: a plain read;
   * - `'doubtful'`: begins like a read, but may lock, write or depend on its connection;
   * - `'write'`: changes something, or is not recognised;
   * - `'control'`: begins or ends a transaction or a savepoint, or is sent by this package for itself.
   */
  readonly kind: 'read' | 'doubtful' | 'write' | 'control'
  /** Whether it is sent inside a transaction. Otherwise it is committed by itself. */
  readonly inTransaction: boolean
  /** How many rows have come back, or were changed. From `asyncEnd` on. */
  rows?: number | undefined
  /** The place in the application's code that has asked for it, as `file:line:column`. Only with `recordStatements`, of the option or of a test, or where `hasPlaces` was set. */
  readonly place?: string | undefined
}

/** A transaction, from its BEGIN to its end. */
export interface TransactionMessage extends DatabaseMessage {
  /** Undefined for the database's own. */
  readonly isolationLevel: string | undefined
  /** Whether it was begun as a read-only one. */
  readonly readOnly: boolean
  /** What has become of it. `'unknown'` when the answer to COMMIT was lost; undefined when it has never begun. */
  outcome?: Outcome | 'unknown' | undefined
}

/** A connection that somebody takes from the pool, or waits for. */
export interface ConnectionMessage extends DatabaseMessage {
  /** How long it was waited for, in milliseconds. From `asyncStart` on. */
  waited?: number | undefined
  /** How long somebody had it, in milliseconds. From `asyncEnd` on; undefined when none has come. */
  held?: number | undefined
}

/** A unit of work: a request that uses a database, a `db.run()` or a `db.open()`. */
export interface ScopeMessage extends TraceMessage {
  /** Which attempt of a `retry` it is for: 1 for the first. */
  readonly attempt: number
  /** @internal The application that it is of. */
  readonly host: object
  /** Whoever sets it at `start` has the `place` of each statement of this scope, as with `recordStatements`. */
  hasPlaces?: boolean | undefined
  /** What is to become of it, once that is decided. From `asyncEnd` on what has. */
  outcome?: Outcome | undefined
  /** Why. */
  reason?: string | undefined
}

/** What somebody does in a scope. */
export interface Origin {
  readonly scope: ScopeInfo
  readonly database: { readonly name: string, readonly target: DatabaseTarget }
  /** Looks at the text of each statement before it is sent. Gives its place, if that is to be known, and throws what it is to fail with. */
  readonly watch: ((sql: string) => string | undefined) | undefined
  /** The comment that its statements are sent with. */
  readonly tag: string | undefined
}

/** What a message says of who does it. */
export function about ({ scope, database: { name, target } }: Origin): Pick<DatabaseMessage, 'scope' | 'route' | 'database' | 'target'> {
  return { ...aboutScope(scope), database: name, target }
}

export function aboutScope (scope: ScopeInfo): Pick<TraceMessage, 'scope' | 'route'> {
  return { scope, route: scope.request?.routeOptions.url }
}
