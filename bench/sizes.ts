import { contenderNames, type ContenderName } from './contenders/all.ts'

/** How much is measured. */
export interface Size {
  readonly contenders: readonly ContenderName[]
  readonly connections: readonly number[]
  /** How often everybody has a turn that counts, shared out evenly among the generations. */
  readonly rounds: number
  /** Over how many processes of each contender the rounds are spread: one process may be a sixth slower than the next, for its whole life. */
  readonly generations: number
  /** About how much of the server's time the requests take that come before those, in microseconds: code that is not optimized yet costs twice as much. */
  readonly warmUpCpu: number
  /** About how much of the server's time a round takes, in microseconds. Many short ones ride out more of what else the machine does than a few long ones. */
  readonly roundCpu: number
  readonly leastPerConnection: number
  /** How many requests are kept open to see what each of them holds. */
  readonly openScopes: number
  /** After how many requests the heap is looked at. */
  readonly heapAfter: readonly [few: number, many: number]
}

export const sizes = {
  full: { contenders: contenderNames, connections: [1, 50, 1000], rounds: 15, generations: 3, warmUpCpu: 4_000_000, roundCpu: 150_000, leastPerConnection: 1, openScopes: 10_000, heapAfter: [10_000, 1_000_000] },
  quick: { contenders: contenderNames, connections: [50], rounds: 2, generations: 1, warmUpCpu: 20_000, roundCpu: 60_000, leastPerConnection: 2, openScopes: 100, heapAfter: [200, 1_000] },
  smoke: { contenders: contenderNames, connections: [2], rounds: 1, generations: 1, warmUpCpu: 2_000, roundCpu: 2_000, leastPerConnection: 2, openScopes: 10, heapAfter: [10, 20] }
} as const satisfies Record<string, Size>

export type SizeName = keyof typeof sizes
