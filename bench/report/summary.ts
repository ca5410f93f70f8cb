import type { Results } from '../results.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'
import { describe, table } from './markdown.ts'
import { ratiosOf } from './ratios.ts'

/** What users want to know: the plugin that commits, under load, on the database that is a server. */
const [SHOWN, CONNECTIONS] = ['scoped-db on', 50] as const

export function summary ({ machine, throughput = [], statements = [] }: Results): Record<string, string> {
  const rows = workloads.flatMap(({ name, title, usesDatabase }) => {
    const series = throughput.find(({ workload, database, connections }) =>
      workload === name && connections === CONNECTIONS && (database === 'mariadb' || !usesDatabase))
    if (series === undefined) return []
    const roundTrips = statements.find(({ workload, contender }) => workload === name && contender === SHOWN)?.roundTrips
    const cpu = median(series.rounds[SHOWN]?.map(({ cpu }) => cpu) ?? [])
    return [[title, String(roundTrips ?? ''), cpu.toFixed(0), ...(['request-context', 'hand-written'] as const).map(name => describe(ratiosOf(series, SHOWN, name)))]]
  })
  return {
    setting: ['measured', 'processor', 'node', 'database', 'fastify', '@mikro-orm/core'].map(what => `${what} ${machine[what] ?? 'unknown'}`).join('; '),
    costs: table(['a request', 'round trips', 'CPU, µs', 'CPU, times the documented hook', 'CPU, times hand-written'], rows)
  }
}
