import { readFile, writeFile } from 'node:fs/promises'
import type { Memory } from './measure/memory.ts'
import type { Statements } from './measure/statements.ts'
import type { Series } from './measure/throughput.ts'

/** What was measured, where, and when. A section that was not measured is missing. */
export interface Results {
  readonly machine: Readonly<Record<string, string>>
  readonly throughput?: readonly Series[]
  readonly statements?: readonly Statements[]
  readonly memory?: readonly Memory[]
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
  return { ...before, ...now, throughput }
}

export async function saveResults (results: Results): Promise<void> {
  await writeFile(FILE, `${JSON.stringify(results, (_key, value: unknown) => typeof value === 'number' ? Number(value.toPrecision(5)) : value)}\n`)
}
