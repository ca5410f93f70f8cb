import type { Random } from '../random.ts'
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
  /** If it is a cluster: what faults can do to each of its nodes. */
  readonly nodes: readonly TorturedNode[]
}

/** What faults can do to one node of a cluster, which is whole again afterwards. */
export interface TorturedNode {
  /** Stops its process (SIGSTOP) while `meanwhile` runs. */
  freeze (meanwhile: () => Promise<void>): Promise<void>
  /** Kills its process while `meanwhile` runs, and starts it again. */
  crash (meanwhile: () => Promise<void>): Promise<void>
  /** Cuts it off from the others while `meanwhile` runs. Clients still reach it. */
  isolate (meanwhile: () => Promise<void>): Promise<void>
  /** Resolves when it knows that it is cut off, and serves nobody. */
  isOut (): Promise<void>
  /** Resolves when one of the others serves, which only they know, or has not for a minute. */
  othersServe (): Promise<void>
  /** Stops it now and then, for less time than makes the others suspect it, until `until` does. */
  slow (random: Random, until: AbortSignal): Promise<void>
}

export type Doing = 'statement' | 'nothing'
