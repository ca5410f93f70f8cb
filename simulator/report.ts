import { createHash } from 'node:crypto'
import { countBy } from '../torture/ledger.ts'
import { describeAnswer, section } from '../torture/report.ts'
import type { Arguments } from './arguments.ts'
import type { Outcome } from './schedule.ts'

/** What many schedules have come to. */
export class Report {
  /** How many have violations. */
  violating = 0
  readonly #given: Arguments
  readonly #began = process.hrtime.bigint()
  readonly #struck = new Map<string, number>()
  readonly #answers: string[] = []
  readonly #unknown: string[] = []
  readonly #hash = createHash('sha256')
  #schedules = 0
  #violations = 0
  #time = 0

  constructor (given: Arguments) {
    this.#given = given
  }

  /** @param time how long it has taken in there, in milliseconds */
  add (seed: number, outcome: Outcome, time: number): void {
    const { entries, struck, unknown, violations, trace } = outcome
    this.#schedules++
    this.#time += time
    this.#violations += violations.length
    this.#answers.push(...entries.map(describeAnswer))
    this.#unknown.push(...unknown)
    for (const [fault, count] of struck) this.#struck.set(fault, (this.#struck.get(fault) ?? 0) + count)
    for (const line of trace) this.#hash.update(line)
    if (this.#given.schedules === 1) console.log(trace.join('\n'))
    if (violations.length > 0) {
      this.violating++
      console.log(this.#describe(seed, outcome))
    }
  }

  summary (): string {
    const seconds = Number(process.hrtime.bigint() - this.#began) / 1e9
    return [
      '',
      section('faults', new Map([...this.#struck].sort())),
      section('answers', countBy(this.#answers)),
      section('told that nobody knows', countBy(this.#unknown.map(fate => `in the database: ${fate}`))),
      `${this.#schedules} schedules from seed ${this.#given.seed}, ${this.#answers.length} requests, ${Math.round(this.#time / 3_600_000)} hours in there, ${seconds.toFixed(1)} s out here`,
      `the same each time: ${this.#hash.digest('hex').slice(0, 16)}`,
      `violations: ${this.#violations}`
    ].join('\n')
  }

  #describe (seed: number, { violations, log }: Outcome): string {
    const logs = violations.flatMap(({ token }) => token === undefined ? [] : log.filter(line => line.includes(`"reqId":"${token}"`)))
    return [
      `seed ${seed}; to see it again: npm run simulate -- --seed ${seed} --schedules 1${this.#given.others.map(argument => ` ${argument}`).join('')}`,
      ...violations.map(({ what }) => `VIOLATION: ${what}`),
      ...[...new Set(logs)].map(line => `  ${line}`)
    ].join('\n')
  }
}
