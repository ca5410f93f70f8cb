import { MAIN_CONTENDERS, type ContenderName } from './contenders/all.ts'
import type { DatabaseKind } from './database.ts'

/** How much is measured. */
export interface Size {
  readonly contenders: readonly ContenderName[]
  readonly databases: readonly DatabaseKind[]
  readonly connections: readonly number[]
  /** How often everybody has a turn that counts, shared out evenly among the generations. */
  readonly rounds: number
  /** Over how many processes of each contender the rounds are spread: one process may be a sixth slower than the next, for its whole life. */
  readonly generations: number
  /** Which part of what it takes to warm up comes before those: code that is not optimized yet costs twice as much. */
  readonly warmUpShare: number
  /** About how much of the server's time a round takes, in microseconds. Many short ones ride out more of what else the machine does than a few long ones. */
  readonly roundCpu: number
  /** The same for each distance to the database. */
  readonly latencyRounds: number
  readonly latencyRequests: number
  /** How many requests are kept open to see what each of them holds. */
  readonly openScopes: number
  /** What Node is told. */
  readonly flags: readonly string[]
  /** After how many requests the heap is looked at. */
  readonly heapAfter: readonly [few: number, many: number]
}

const full: Size = {
  contenders: MAIN_CONTENDERS,
  databases: ['mariadb', 'postgresql'],
  connections: [16],
  rounds: 60,
  generations: 4,
  warmUpShare: 1,
  roundCpu: 70_000,
  latencyRounds: 8,
  latencyRequests: 500,
  openScopes: 2_000,
  heapAfter: [10_000, 50_000],
  flags: []
}

export const sizes = {
  full,
  quick: { ...full, rounds: 2, generations: 1, warmUpShare: 0.02, roundCpu: 30_000, latencyRounds: 2, latencyRequests: 100, openScopes: 500, heapAfter: [200, 1_000] }
} as const satisfies Record<string, Size>
