import type { Random } from '../torture/random.ts'
import { DatabaseFailure, interrupted, type Then } from './database/failure.ts'
import type { Kind } from './database/kind.ts'

/** What may become of a message: its connection is broken off, or leads nowhere; it takes long; the server refuses it, or says what leaves everybody in doubt. */
export const OF_MESSAGES = ['cut', 'silence', 'delay', 'refusal', 'doubt'] as const

/** What may happen to a server, to the connections in the pool, or to the calendar. */
export const OF_SERVERS = ['crash', 'freeze', 'partition', 'not-primary', 'read-only', 'full', 'kill-idle', 'half-open', 'clock'] as const

/** What clients may do: go away. */
export const OF_CLIENTS = ['leave'] as const

export const FAULTS = [...OF_MESSAGES, ...OF_SERVERS, ...OF_CLIENTS]

export type Fault = typeof FAULTS[number]

/** What becomes of one statement. */
export interface Fate {
  /** Milliseconds until it is begun. */
  readonly delay: number
  /** What becomes of its connection before it is carried out. */
  readonly before?: 'cut' | 'silence'
  /** What the server answers in the place of its answer. */
  readonly failure?: DatabaseFailure
  /** Whether it is carried out all the same. */
  readonly isCarriedOut?: boolean
  /** What becomes of its connection when it has been carried out, or in the middle of the answer. */
  readonly after?: 'cut' | 'cut in the answer' | 'silence'
}

type Failing = readonly [number: number, state: string, message: string, then?: Then]

const DEADLOCK: Failing = [1213, '40001', 'Deadlock found when trying to get lock; try restarting transaction', 'rollback']
const LOCK_WAIT: Failing = [1205, 'HY000', 'Lock wait timeout exceeded; try restarting transaction']
const READ_ONLY: Failing = [1290, 'HY000', 'The MariaDB server is running with the --read-only option so it cannot execute this statement']
const KILLED: Failing = [1927, '70100', 'Connection was killed', 'close']

/** What is said to COMMIT when it was not carried out. */
const REFUSALS: readonly Failing[] = [
  DEADLOCK,
  LOCK_WAIT,
  READ_ONLY,
  [1180, 'HY000', 'Got error 149 "Lock deadlock; Retry transaction" during COMMIT', 'rollback'],
  [1020, 'HY000', "Record has changed since last read in table 'entry'", 'rollback']
]

/** What is said to COMMIT when it was carried out, or was not. */
const DOUBTS: readonly Failing[] = [
  [1180, 'HY000', 'Got error 6 "No such device or address" during COMMIT', 'rollback'],
  [1105, 'HY000', '(proxy) all backends are down', 'rollback'],
  [1317, '70100', 'Query execution was interrupted', 'rollback'],
  [1969, '70100', 'Query execution was interrupted (max_statement_time exceeded)', 'rollback'],
  [1053, '08S01', 'Server shutdown in progress', 'close'],
  KILLED
]

const OF_STATEMENTS: readonly Failing[] = [DEADLOCK, LOCK_WAIT, READ_ONLY, KILLED]

/** One statement in so many, where a schedule has the fault at all. */
const ODDS = [4, 12, 40]

/** What may go wrong in one schedule, and how often: some of all that can, others in each schedule. */
export class Faults {
  /** Whether anything does now. */
  areActive = false
  /** How often each has struck. */
  readonly struck = new Map<string, number>()
  readonly #random: Random
  readonly #odds: ReadonlyMap<Fault, number>
  readonly #latency: number
  readonly #atCommit: boolean

  /** @param allowed which ones there may be */
  constructor (random: Random, allowed: readonly Fault[]) {
    this.#random = random
    this.#odds = new Map(allowed.filter(() => random.oneIn(2)).map(fault => [fault, random.pick(ODDS)]))
    this.#latency = random.pick([0.2, 2, 20])
    this.#atCommit = random.oneIn(3)
  }

  /** Of one message, in milliseconds. */
  latency = (): number => this.#latency * this.#random.between(500, 1_500) / 1_000

  /** Which of these there are in this schedule. */
  among<F extends Fault> (faults: readonly F[]): F[] {
    return faults.filter(fault => this.#odds.has(fault))
  }

  /** Whether a fault strikes now. */
  strikes (fault: Fault): boolean {
    const odds = this.#odds.get(fault)
    if (!this.areActive || odds === undefined || !this.#random.oneIn(odds)) return false
    this.count(fault)
    return true
  }

  fateOf (kind: Kind): Fate {
    const random = this.#random
    if (this.#atCommit && kind !== 'commit') return { delay: 0 }
    const delay = this.strikes('delay') ? random.pick([30, 300, 1_500, 6_000]) : 0
    if (this.strikes('cut')) return { delay, ...random.pick([{ before: 'cut' }, { after: 'cut' }, { after: 'cut in the answer' }] as const) }
    if (this.strikes('silence')) return { delay, ...random.pick([{ before: 'silence' }, { after: 'silence' }] as const) }
    if (kind === 'commit' && this.strikes('doubt')) return { delay, failure: new DatabaseFailure(...random.pick(DOUBTS)), isCarriedOut: random.oneIn(2) }
    // BEGIN and a statement in one message.
    if (kind === 'compound' && this.strikes('doubt')) return { delay, failure: interrupted(), isCarriedOut: random.oneIn(2) }
    if (kind === 'question' && this.strikes('refusal')) return { delay, failure: interrupted() }
    if (this.strikes('refusal')) return { delay, failure: new DatabaseFailure(...random.pick(kind === 'commit' ? REFUSALS : OF_STATEMENTS)) }
    return { delay }
  }

  count (fault: string): void {
    this.struck.set(fault, (this.struck.get(fault) ?? 0) + 1)
  }
}
