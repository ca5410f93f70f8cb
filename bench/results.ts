import { readFile, writeFile } from 'node:fs/promises'
import type { Allocations } from './measure/allocations.ts'
import type { Flask } from './measure/flask.ts'
import type { Memory } from './measure/memory.ts'
import type { Statements } from './measure/statements.ts'
import type { OpenScopes } from './measure/open-scopes.ts'
import type { Series } from './measure/throughput.ts'
import { workloads } from './workloads.ts'

/** What was measured, where, and when. A section that was not measured is missing. */
export interface Results {
  readonly machine: Readonly<Record<string, string>>
  readonly throughput?: readonly Series[]
  readonly statements?: readonly Statements[]
  readonly allocations?: readonly Allocations[]
  readonly memory?: readonly Memory[]
  readonly openScopes?: readonly OpenScopes[]
  readonly flask?: readonly Flask[]
}

const FILE = new URL('results.json', import.meta.url)

/** The published ones; nothing if there are none. */
export async function loadResults (): Promise<Results> {
  try {
    return JSON.parse(await readFile(FILE, 'utf8')) as Results
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { machine: {} }
    throw error
  }
}

/** What was measured now in the place of what was measured before; the rest stays. */
export function merged (before: Results, now: Results): Results {
  const isMeasured = ({ workload, database, connections }: Series) =>
    now.throughput?.some(series => series.workload === workload && series.database === database && series.connections === connections) === true
  const throughput = [...before.throughput?.filter(series => !isMeasured(series)) ?? [], ...now.throughput ?? []]
  return { ...before, ...now, throughput: throughput.sort((a, b) => placeOf(a) - placeOf(b)) }
}

/** Tables are read by workload, then by database, then by the number of connections. */
function placeOf ({ workload, database, connections }: Series): number {
  return workloads.findIndex(({ name }) => name === workload) * 1e6 + (database === 'sqlite' ? 0 : 1e5) + connections
}

export async function saveResults (results: Results): Promise<void> {
  await writeFile(FILE, `${JSON.stringify(results, (_key, value: unknown) => typeof value === 'number' ? Number(value.toPrecision(5)) : value)}\n`)
}
