import { readFile, writeFile } from 'node:fs/promises'
import type { Allocations } from './measure/allocations.ts'
import type { Flask } from './measure/flask.ts'
import type { Latency } from './measure/latency.ts'
import type { Memory } from './measure/memory.ts'
import type { Statements } from './measure/statements.ts'
import type { OpenScopes } from './measure/open-scopes.ts'
import type { Series } from './measure/throughput.ts'

/** What was measured, where, and when. A section that was not measured is missing. */
export interface Results {
  readonly machine: Readonly<Record<string, string>>
  readonly statements?: readonly Statements[]
  readonly allocations?: readonly Allocations[]
  readonly throughput?: readonly Series[]
  readonly latency?: readonly Latency[]
  readonly memory?: readonly Memory[]
  readonly openScopes?: readonly OpenScopes[]
  readonly flask?: readonly Flask[]
}

const FILE = new URL('results.json', import.meta.url)

/** The published ones. */
export async function loadResults (): Promise<Results> {
  return JSON.parse(await readFile(FILE, 'utf8')) as Results
}

export async function saveResults (results: Results): Promise<void> {
  await writeFile(FILE, `${JSON.stringify(results, (_key, value: unknown) => typeof value === 'number' ? Number(value.toPrecision(5)) : value)}\n`)
}
