import type { Proxy } from './proxy.ts'

/** What faults can do to a server, besides what the proxy in front of it can. */
export interface TorturedServer {
  readonly proxy: Proxy
  /** The first database of the application, and the second. */
  readonly databases: readonly [string, string]
  /** Stops its processes (SIGSTOP) while `meanwhile` runs. */
  freeze (meanwhile: () => Promise<void>): Promise<void>
  /** Kills its processes, without a chance to clean up, and starts it again after `meanwhile`. */
  crash (meanwhile: () => Promise<void>): Promise<void>
  /** The application's connections that run a statement or wait in one, or those that do not. */
  connections (doing: Doing): Promise<number[]>
  kill (connection: number): Promise<void>
  /** Has no place for the application, and none of its connections, while `meanwhile` runs. */
  fillUp (meanwhile: () => Promise<void>): Promise<void>
  /** Holds the locks of all counters while `meanwhile` runs. */
  lockCounters (meanwhile: () => Promise<void>): Promise<void>
}

export type Doing = 'statement' | 'nothing'
