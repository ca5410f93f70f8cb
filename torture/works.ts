import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Work } from './application/messages.ts'
import type { Fate } from './checker.ts'

/** How often a request's work after its outcome was registered, and what became of it. */
export interface WorkCounts extends Readonly<Record<Work, number>> {
  /** Dropped, with an error in the log, because nobody knows the outcome. */
  readonly dropped: number
}

/** The work after the outcome of every request. */
export class Works {
  readonly #told: ReadonlyMap<string, readonly Work[]>
  readonly #dropped: ReadonlyMap<string, number>

  /**
   * @param told what the application has done
   * @param dropped how much its log says that it will never do
   */
  constructor (told: ReadonlyMap<string, readonly Work[]>, dropped: ReadonlyMap<string, number>) {
    this.#told = told
    this.#dropped = dropped
  }

  of (token: string): WorkCounts {
    const counts = { registered: 0, committed: 0, rolledBack: 0, takenBack: 0 }
    for (const work of this.#told.get(token) ?? []) counts[work]++
    // Each time, it is for either outcome.
    return { ...counts, dropped: (this.#dropped.get(token) ?? 0) / 2 }
  }
}

/** @returns what is wrong with the work of a request whose unit of work, if it has one, has this fate */
export function checkWork ({ registered, committed, rolledBack, takenBack, dropped }: WorkCounts, fate: Fate | undefined, isInDoubt: boolean): string[] {
  const done = committed + rolledBack + dropped
  // The rollback of everything may come before that of a savepoint.
  const isSettled = registered === done + takenBack || (registered === done && committed === 0)
  const found = isSettled ? [] : [`has registered work ${registered} times, of which ${committed} were done after a commit, ${rolledBack} after a rollback, ${takenBack} taken back, and ${dropped} dropped`]
  if (isInDoubt && committed > 0) found.push('has done its work after the commit, although nobody knows of one')
  if (fate !== undefined && committed > 0 && fate !== 'whole') found.push(`has done its work after the commit, but is ${fate}`)
  if (fate === 'whole' && committed === 0 && dropped === 0) found.push('is whole, but has not done its work after the commit')
  return found
}

/** How much work each request has dropped, from the application's logs. */
export async function readDropped (folder: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const file of (await readdir(folder)).filter(name => name.endsWith('.log'))) {
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) countDropped(line, counts)
  }
  return counts
}

/** The same, from the lines of a log. */
export function droppedIn (lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const line of lines) countDropped(line, counts)
  return counts
}

function countDropped (line: string, counts: Map<string, number>): void {
  if (!line.includes('"dropped":')) return
  const { reqId, dropped } = JSON.parse(line) as { reqId: string, dropped: number }
  counts.set(reqId, (counts.get(reqId) ?? 0) + dropped)
}
