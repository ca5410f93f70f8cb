import { AssertionError } from 'node:assert'
import type { StatementMessage } from '../diagnostics/messages.ts'
import { fingerprint } from '../drivers/sql/fingerprint.ts'

/** A statement that `recordStatements()` has seen. */
export type SeenStatement = Readonly<Omit<StatementMessage, 'scope'>>

/** Statements that differ in their values at most. */
export interface RepeatedStatement {
  /** The text of the first. */
  readonly sql: string
  /** How often they were sent. */
  readonly count: number
  /** Where in the application's code they were asked for, each once. */
  readonly places: readonly string[]
}

/** What `recordStatements()` gives: the statements in the order in which they were sent, without those that begin or end transactions or savepoints. */
export class SeenStatements<Result = unknown> implements Iterable<SeenStatement> {
  /** What the function has given: the reply of a request, for one. */
  readonly result: Result
  /** BEGIN, COMMIT, ROLLBACK, savepoints, and what the plugin asks for itself. */
  readonly control: readonly SeenStatement[]
  readonly #statements: readonly SeenStatement[]

  /** @internal Made by `recordStatements()`. */
  constructor (result: Result, sent: readonly StatementMessage[]) {
    const statements = sent.map(({ scope, ...statement }) => statement)
    this.result = result
    this.control = statements.filter(({ kind }) => kind === 'control')
    this.#statements = statements.filter(({ kind }) => kind !== 'control')
  }

  /** How many there are. */
  get length (): number {
    return this.#statements.length
  }

  /** Those that were sent more than once, values aside, the most frequent first. */
  get repeated (): RepeatedStatement[] {
    return this.#grouped().filter(({ count }) => count > 1).sort((one, other) => other.count - one.count)
  }

  /** One after the other: `[...seen]`, or `for (const { sql } of seen)`. */
  [Symbol.iterator] (): Iterator<SeenStatement> {
    return this.#statements.values()
  }

  /**
   * Asserts how many there are.
   * @throws AssertionError that lists them, and where they come from
   *
   * @example
   * seen.assertCount(2) // one for the books, one for all of their authors
   */
  assertCount (expected: number): void {
    if (this.length === expected) return
    throw this.#failure(`expected ${times(expected)}, but ${this.length} ${this.length === 1 ? 'was' : 'were'} sent`, this.length, expected, this.#grouped(), this.assertCount)
  }

  /**
   * Asserts that none was sent more than `most` times, values aside: that nothing is looked up one by one in a loop.
   * @param most default: once
   * @throws AssertionError that lists those that were, and where they come from
   *
   * @example
   * seen.assertNotRepeated()
   */
  assertNotRepeated (most = 1): void {
    const repeated = this.repeated.filter(({ count }) => count > most)
    const [first] = repeated
    if (first !== undefined) throw this.#failure(`expected no statement to be sent more than ${most === 1 ? 'once' : `${most} times`}`, first.count, most, repeated, this.assertNotRepeated)
  }

  #failure (problem: string, actual: number, expected: number, listed: readonly RepeatedStatement[], stackStartFn: (count: number) => void): AssertionError {
    const lines = listed.map(({ sql, count, places }) => [`${count} x ${sql}`, ...places.map(place => `    from ${place}`)].join('\n'))
    return new AssertionError({ message: [`${problem}${lines.length > 0 ? ':' : ''}`, ...lines].join('\n'), actual, expected, operator: stackStartFn.name, stackStartFn })
  }

  /** In the order of the first of each. */
  #grouped (): RepeatedStatement[] {
    const groups = Map.groupBy(this.#statements, ({ database, sql }) => `${database} ${fingerprint(sql)}`)
    return [...groups.values()].map(group => {
      const places = new Set(group.flatMap(({ place }) => place ?? []))
      return { sql: String(group[0]?.sql), count: group.length, places: [...places] }
    })
  }
}

function times (count: number): string {
  return `${count} ${count === 1 ? 'statement' : 'statements'}`
}
