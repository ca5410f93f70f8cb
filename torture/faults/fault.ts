import type { Stage } from '../application/messages.ts'
import type { Answer } from '../answer.ts'
import type { TorturedServer } from '../database/server.ts'
import type { Order } from '../order.ts'
import type { Random } from '../random.ts'

/** Where a client goes away. */
export type Departure = 'upload' | Stage | 'reply'

/** Where a client does nothing for a while. */
export interface Stall {
  readonly at: 'upload' | 'reply'
  /** Resolves when it goes on. */
  until (): Promise<unknown>
}

/** A fault that a request brings with it. */
export interface RequestFault {
  readonly name: string
  readonly leaves?: Departure
  /** The routes that it takes one of; any by default. */
  readonly routes?: readonly string[]
  /** What it asks of the route beside the usual. */
  order? (random: Random): Partial<Order>
  stall? (random: Random): Stall
}

/** A fault that strikes whatever is under way. */
export interface StrikingFault {
  readonly name: string
  readonly needsServer: boolean
  /** Whether that has to be a cluster. */
  readonly needsCluster?: true
  /** Whether the application is another process afterwards. */
  readonly endsProcess?: true
  /** Resolves when it is over. */
  strike (field: Field, random: Random): Promise<void>
}

/** A request that is under way. */
export interface Sent {
  readonly token: string
  /** Resolves when its handler is half done; of one that stalls in its upload, when a hook has read. */
  readonly arrived: Promise<void>
  readonly answered: Promise<Answer>
}

/** What a striking fault has to work with. */
export interface Field {
  /** @throws Error when the database is no server */
  readonly server: TorturedServer
  /** Most connections in the pools of all of its processes. */
  readonly connections: number
  /** How long the application waits for a pooled connection, in milliseconds. */
  readonly acquireTimeout: number
  /** Sends one more request, which counts as any other. */
  send (route: string, order?: Partial<Order>, stall?: Stall): Sent
  /** Tells a process of the application to stop, waits until it has, and starts it again. */
  restart (): Promise<void>
  /** How many answers have had this code so far. */
  answered (code: string): number
  /** Reports what must not happen. */
  complain (what: string): void
}
