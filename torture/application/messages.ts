/** What the application process is started with, as JSON in its only argument. */
export interface ApplicationSettings {
  readonly database: 'mysql' | 'postgresql' | 'sqlite'
  /** Address of the server, through the proxy; nothing for SQLite. */
  readonly url?: string | undefined
  readonly dbName: string
  /** Of the second database. */
  readonly secondDbName: string
  /** The module with the plugin under test. */
  readonly plugin: string
  readonly log: string
  /** A large file to be sent. */
  readonly payload: string
  /** Most connections in the pool. */
  readonly connections: number
  /** Milliseconds. */
  readonly acquireTimeout: number
}

/** The name that the second database is registered under. */
export const SECOND = 'second'

/** Where in its life a request is, told for the clients that leave just there. */
export type Stage = 'hook' | 'handler' | 'commit'

/** What a request has to do after its outcome: it was registered, and done once it was committed or rolled back; or taken back with a savepoint. */
export type Work = 'registered' | 'committed' | 'rolledBack' | 'takenBack'

/** What the application process says. */
export type FromApplication =
  | { type: 'listening', port: number }
  | { type: 'stage', token: string, stage: Stage }
  | { type: 'work', token: string, work: Work }
  | { type: 'state', state: ApplicationState }
  /** The last one. */
  | { type: 'stopped' }

/** What it looks like inside, once every request is over. */
export interface ApplicationState {
  readonly openScopes: number
  /** Bytes, after a garbage collection. */
  readonly heapUsed: number
  /** What is wrong with the pooled connections: each is taken and asked. */
  readonly pool: string[]
  /** Which descriptors are open that nobody needs. */
  readonly descriptors: string[]
}
