import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'

/**
 * What has happened, of the same name in every database:
 * - `'invalid value'`: a value is none of its column's type, or does not fit into it;
 * - `'lock timeout'`: it has waited too long for a lock, or was not to wait;
 * - `'serialization'`: it met another transaction, and has to be done again as a whole;
 * - `'interrupted'`: the server has stopped it: a time limit of its own, or a kill;
 * - `'failed transaction'`: something before it has failed, and only a rollback is left;
 * - `'connection'`: none could be made, or it was lost; another one may do;
 * - `'read only'`: the server has become read-only, as after a failover; another connection may lead to one that is not;
 * - `'access'`: the server lets nobody in: wrong login, no such database;
 * - `'privilege'`: the user may not do that.
 */
export type ErrorKind = 'not found' | 'optimistic lock' | 'unique' | 'foreign key' | 'check' | 'not null' | 'invalid value' |
  'deadlock' | 'lock timeout' | 'serialization' | 'interrupted' | 'failed transaction' | 'connection' | 'read only' | 'access' | 'privilege'

/** What drivers put into their errors. */
export interface DriverError {
  readonly name?: unknown
  readonly message: string
  readonly code?: unknown
  /** mysql2, mariadb: the number that the server gives. */
  readonly errno?: unknown
  readonly sqlState?: unknown
  /** mysql2, mariadb: what the server has said, and nothing else. */
  readonly sqlMessage?: unknown
  /** pg: only errors of the server have it, in the language of its locale. */
  readonly severity?: unknown
  /** pg: where in the server it came up. */
  readonly routine?: unknown
  /** mysql2, mariadb: whether the connection has ended with it. */
  readonly fatal?: unknown
  /** node:sqlite: SQLite's extended result code. */
  readonly errcode?: unknown
  /** libsql: the same. */
  readonly rawCode?: unknown
  /** tedious: the number that the server gives. */
  readonly number?: unknown
}

/** What the errors of one database, and of its driver, mean. In doubt an error is not known: its kind decides whether work is done again. */
export interface DriverErrors {
  /** Gives nothing for an error that is not known, or another driver's. */
  kindOf (error: DriverError): ErrorKind | undefined
  /** Whether the driver has made it: its message may hold SQL, values and names of the schema. */
  isOwn (error: DriverError): boolean
  /** Whether it says, to a COMMIT, that this was refused and is rolled back, beyond what its kind says. */
  refuses (error: DriverError): boolean
  /** What the driver says of a connection that it knew to be closed before the statement. */
  readonly neverSent: readonly string[]
}

/** Whether a connection is in a transaction. In one that is `failed` nothing but a rollback goes through, of all or to a savepoint. */
export type TransactionStatus = 'none' | 'open' | 'failed'

/** What is behind a connection of Kysely's pool, where the driver lets one reach it. */
export interface PhysicalConnection {
  /** What the server has said last. Undefined as long as it has said nothing. */
  readonly status: TransactionStatus | undefined
  /** Closes it at once, without asking the server. What waits for it fails. Resolves when its pool knows. */
  close (): Promise<void>
  /** Calls `listener` once, when it has ended, whoever has ended it. */
  onEnd (listener: () => void): void
}

/** How a server is asked about its connections, by the name that it has for each. */
export interface ProcessList {
  /**
   * A query for the name of the connection that it is sent on, as `id`, and, where `beginWith` asks for it, the server's `version`; and, where it may be
   * one of several behind one address, as `server`, what no other has.
   */
  readonly ownId: string
  /** A query for the connections of these names, as `id`, and what each of them does, as `state`. */
  statesOf (ids: readonly number[]): string
  /** The state of one that works on a statement. */
  readonly working: string
  /** The state of one that waits for a statement. */
  readonly idle: string
}

/** What is known of where a first statement goes. */
export interface Destination {
  readonly connection: DatabaseConnection
  /** As `processes.ownId` has given it. */
  readonly version?: string | undefined
  /** The column of a table whose values the database generates: null where it has none, undefined where the table is not known. */
  generatedColumn (table: string): string | null | undefined
}

/**
 * BEGIN and the first statement in one message. An error of kind `interrupted` does not say whether the statement was carried out:
 * then only a rollback is left.
 */
export interface Combined {
  /** What is sent, by `executeQuery` of the connection that it was made for, once. */
  readonly query: CompiledQuery
  /** What the statement alone would have answered. Undefined where nobody can tell: then all is to be rolled back, and the two are sent apart. */
  answer<R> (result: QueryResult<unknown>): QueryResult<R> | undefined
  /** Has an error name the statement alone, as if it had been sent by itself. */
  restore (error: object): void
  /**
   * A query for whether a transaction is open, as `begun`, to be asked after an error: a text that is refused as a whole has begun nothing, and the
   * two are to be sent apart, which gives the statement's own error. Undefined where the status of the physical connection tells.
   */
  readonly hasBegun: string | undefined
}

/** How replicas follow their primary. A position in its log is a text. */
export interface Replication {
  /** What COMMIT is sent as where its position is wanted: one message, with the question for that behind it. */
  readonly commit: string
  /** Is called before it is sent. */
  listen (connection: DatabaseConnection): CommitAnswer
  /** A query on a replica for the position up to which it has applied all, as `position`; null on what is no replica. */
  readonly applied: string
  hasApplied (applied: string, wanted: string): boolean
  /** What all positions look like. */
  readonly shape: RegExp
  /** A query on a replica for how far it lags. */
  readonly lag: string
  /** What comes back, in milliseconds; undefined where it does not follow its primary. */
  lagIn (row: Readonly<Record<string, unknown>> | undefined): number | undefined
}

/** What comes back for a COMMIT that is asked for its position. */
export interface CommitAnswer {
  /** The position: empty where nothing was written, undefined where the server tells none. */
  positionIn (answer: QueryResult<unknown>): string | undefined
  /** Whether the server has said that COMMIT itself was carried out, whatever became of the question behind it. */
  readonly isCommitted: boolean
}

/** How reads on a node of a cluster wait for what others have committed. */
export interface CausalReads {
  /** What BEGIN is sent as. It leaves nothing on its connection. */
  readonly begin: string
  /** A query that gives a row where the server is such a node. */
  readonly check: string
}

/** What has to be known of one database, and of its driver, beyond what Kysely and MikroORM tell. */
export interface Driver {
  /** The names of Kysely's adapters for it. */
  readonly adapters: readonly string[]
  /** OpenTelemetry's name for the database that one of MikroORM's drivers, by the name of its class, is made for. */
  systemOf (driver: string): string
  readonly errors: DriverErrors
  /** What a plain read may have ahead of a bracket, besides what is so in every database: see `sql/functions.ts`. */
  readonly functions: ReadonlySet<string>
  /** Whether it is in this process: COMMIT tells for certain whether it was carried out, and no server can be lost. */
  readonly isEmbedded: boolean
  /**
   * A query for the name of the transaction that its connection is in, as `id`, or null outside of any. Only where savepoints cannot be released,
   * which elsewhere tells whether the transaction is still the same.
   */
  readonly transactionId?: string
  /**
   * How transactions begin and end:
   * - `'in SQL'`: with statements, as MikroORM's platform writes them;
   * - `'by Kysely'`: as its driver does it, or it is not known how;
   * - `'hidden'`: the same, and nobody sees it on their connections.
   */
  readonly begins: 'in SQL' | 'by Kysely' | 'hidden'
  /** What stands ahead of a SELECT to have its plan. Gives nothing where no statement does that. */
  readonly explain: string | undefined
  /** The kinds of errors with which it rolls the transaction back, or may, so that what came next would be committed by itself. */
  readonly rollsBackWith: ReadonlySet<ErrorKind>
  /** Gives nothing where nobody can be asked. */
  readonly processes: ProcessList | undefined
  /** Sends BEGIN together with the first statement. Gives nothing where that is not safe, or would not answer the same: then they go one after the other. */
  beginWith (begin: readonly string[], query: CompiledQuery, destination: Destination): Combined | undefined
  /** Gives nothing where there are no such clusters. */
  readonly causalReads: CausalReads | undefined
  /** Gives nothing where replicas cannot be asked. */
  readonly replication: Replication | undefined
  /** Gives nothing where it cannot be reached. */
  physical (connection: DatabaseConnection): PhysicalConnection | undefined
  /** Closes a connection that a hook of its pool has refused, and frees its place there, which Kysely does not. Nothing runs on it. */
  discard (connection: DatabaseConnection): Promise<void>
  /** What the native client of MikroORM's connection says, if that is one connection and knows. */
  nativeStatus (client: unknown): TransactionStatus | undefined
  /** How many connections the native client of MikroORM's connection has that nobody has taken, if that is a pool. */
  idleIn (client: unknown): number | undefined
  /** Whether a transaction in which `error` came up is `failed` by that. Asked only where there is no status. */
  failsTransaction (error: DriverError): boolean
}
