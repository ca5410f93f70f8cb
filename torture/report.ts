import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Violation } from './checker.ts'
import { countBy, type Entry, type Ledger } from './ledger.ts'

/** How many violations are shown with their requests' logs. */
const MOST_SHOWN = 20

/** The outcome of a run, as a table. */
export function table (title: string, ledger: Ledger, unknown: readonly string[], violations: readonly Violation[]): string {
  const { entries, heap } = ledger
  return [
    title,
    '',
    section('requests', new Map([...countBy(entries.map(({ request }) => `${request.route.method} /${request.route.name}`)), ['total', entries.length]])),
    section('faults', ledger.faults()),
    section('answers', countBy(entries.map(describeAnswer))),
    section('told that nobody knows', countBy(unknown.map(fate => `in the database: ${fate}`))),
    `heap: compared ${heap.length} times, at most ${Math.max(0, ...heap).toFixed(3)} times what it was after the warm-up`,
    `violations: ${violations.length}`
  ].join('\n')
}

/** The violations, each with what the application has logged of its request. */
export async function details (violations: readonly Violation[], folder: string): Promise<string> {
  const shown = violations.slice(0, MOST_SHOWN)
  const logs = await logsOf(shown.flatMap(({ token }) => token ?? []), folder)
  const texts = shown.map(({ what, token }) => [`VIOLATION: ${what}`, ...logs.get(token ?? '') ?? []].join('\n  '))
  if (violations.length > shown.length) texts.push(`... and ${violations.length - shown.length} more`)
  return texts.join('\n')
}

/** What a client was told, in a few words. */
export function describeAnswer ({ answer: { status, code, error } }: Entry): string {
  if (status === undefined) return `none: ${error}`
  return code === undefined ? String(status) : `${status} ${code}`
}

/** A list of counts. */
export function section (name: string, counts: ReadonlyMap<string, number>): string {
  const rows = [...counts].map(([what, count]) => `  ${what.padEnd(44)}${String(count).padStart(9)}`)
  return `${name}\n${rows.length === 0 ? '  none' : rows.join('\n')}\n`
}

async function logsOf (tokens: readonly string[], folder: string): Promise<Map<string, string[]>> {
  const logs = new Map<string, string[]>(tokens.map(token => [token, []]))
  for (const file of (await readdir(folder)).filter(name => name.endsWith('.log'))) {
    for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
      const token = /"reqId":"([^"]+)"/.exec(line)?.[1]
      if (token !== undefined) logs.get(token)?.push(line)
    }
  }
  return logs
}
