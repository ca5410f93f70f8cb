import { DATABASES, type DatabaseKind } from '../database.ts'
import type { Results } from '../results.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'
import { describe, table } from './markdown.ts'
import { ratiosOf } from './ratios.ts'

/** What users want to know: the plugin that commits, on databases that are servers, beside what they would do without it. */
const SHOWN = 'scoped-db on'
const SERVERS = ['mariadb', 'postgresql'] as const satisfies DatabaseKind[]
const SETTING = ['processor', 'Node', 'MariaDB', 'PostgreSQL', 'fastify', '@mikro-orm/core']

export function summary ({ machine, throughput = [], statements = [] }: Results): Record<string, string> {
  const rows = workloads.filter(({ leaves }) => !leaves).map(({ name, title, usesDatabase }) => [title, ...SERVERS.flatMap(database => {
    const series = throughput.find(series => series.workload === name && (series.database === database || !usesDatabase))
    const roundTrips = statements.find(counted => counted.workload === name && counted.contender === SHOWN && counted.database === database)?.roundTrips
    if (series === undefined || roundTrips === undefined) return ['', '', '']
    const cpu = median(series.rounds[SHOWN]?.map(({ cpu }) => cpu) ?? [])
    return [String(roundTrips), cpu.toFixed(0), describe(ratiosOf(series, SHOWN, 'request-context'))]
  })])
  const titles = SERVERS.flatMap(database => [`${DATABASES[database]}: round trips`, 'CPU, µs', 'times the documented hook'])
  return {
    setting: `Measured ${machine['measured'] ?? 'never'} with ${SETTING.map(what => `${what} ${machine[what] ?? 'unknown'}`).join('; ')}.`,
    costs: table(['a request', ...titles], rows)
  }
}
