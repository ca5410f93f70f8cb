/** What the application process is started with, as JSON in its only argument. */
export interface ApplicationSettings {
  readonly database: 'mysql' | 'sqlite'
  /** Address of the server, through the proxy; nothing for SQLite. */
  readonly url?: string | undefined
  readonly dbName: string
  /** The module with the plugin under test. */
  readonly plugin: string
  readonly log: string
  /** Most connections in the pool. */
  readonly connections: number
  /** Milliseconds. */
  readonly acquireTimeout: number
}

/** Where in its life a request is, told for the clients that leave just there. */
export type Stage = 'handler' | 'commit'

/** What the application process says. */
export type FromApplication =
  | { type: 'listening', port: number }
  | { type: 'stage', token: string, stage: Stage }
  | { type: 'state', state: ApplicationState }

/** What it looks like inside, once every request is over. */
export interface ApplicationState {
  readonly openScopes: number
  /** Bytes, after a garbage collection. */
  readonly heapUsed: number
  /** What is wrong with the pooled connections: each is taken and asked. */
  readonly pool: string[]
}
