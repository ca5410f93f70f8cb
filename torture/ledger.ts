import type { Answer } from './answer.ts'
import type { Work } from './application/messages.ts'
import type { PlannedRequest } from './plan.ts'

/** One request, and what its client was told. */
export interface Entry {
  readonly request: PlannedRequest
  readonly answer: Answer
  /** Milliseconds since the beginning of the run. */
  readonly at: number
  /** How long the client has waited for it, in milliseconds. */
  readonly took: number
}

/** A fault that has struck. */
export interface Strike {
  readonly name: string
  /** Milliseconds since the beginning of the run. */
  readonly from: number
  readonly to: number
}

/** What was asked and what was told, all of it, from the clients' side. */
export class Ledger {
  readonly entries: Entry[] = []
  readonly strikes: Strike[] = []
  /** What went wrong that is not about one request. */
  readonly complaints: string[] = []
  /** The heap whenever it was compared, as a multiple of what it was after the warm-up of its process. */
  readonly heap: number[] = []
  /** What the application has told of the work after each request's outcome. */
  readonly works = new Map<string, Work[]>()
  readonly #start = performance.now()

  /** Milliseconds since the beginning of the run. */
  get now (): number {
    return performance.now() - this.#start
  }

  /** @param began when it was sent, in milliseconds since the beginning of the run */
  write (request: PlannedRequest, answer: Answer, began: number): void {
    const at = this.now
    this.entries.push({ request, answer, at, took: at - began })
  }

  worked (token: string, work: Work): void {
    const works = this.works.get(token)
    if (works === undefined) this.works.set(token, [work])
    else works.push(work)
  }

  struck (name: string, from: number): void {
    this.strikes.push({ name, from, to: this.now })
  }

  complain (what: string): void {
    this.complaints.push(what)
  }

  /** How often each fault has happened. One that a client was to bring counts if the client did leave. */
  faults (): Map<string, number> {
    const brought = this.entries.filter(({ request, answer }) => request.fault !== undefined && (request.leaves === undefined || answer.hasLeft))
    return countBy([...brought.map(({ request }) => String(request.fault?.name)), ...this.strikes.map(({ name }) => name)])
  }
}

/** How often each of `names` is there, in alphabetical order. */
export function countBy (names: string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names.sort()) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
