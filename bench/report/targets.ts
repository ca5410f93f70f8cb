import { TITLES, type ContenderName } from '../contenders/all.ts'
import type { Results } from '../results.ts'
import { workloads } from '../workloads.ts'
import { describe, table } from './markdown.ts'
import { ratiosOf, referenceOf } from './ratios.ts'

const SHOWN = ['scoped-db off', 'scoped-db on'] as const satisfies ContenderName[]

/** What a request's CPU may be, as a multiple of the reference's, at so many connections. */
const MOST_CPU: Readonly<Record<string, number>> = { static: 1.03, read: 1.02, list: 1.02, insert: 1.02 }
const CONNECTIONS = 50

/** What an open request that uses no database may take over bare Fastify, in bytes. */
const MOST_BYTES = 300

/** What was aimed at, and whether it was met. */
export function targetsTable ({ throughput = [], memory = [] }: Results): string {
  const cpu = throughput.filter(({ connections }) => connections === CONNECTIONS).flatMap(series => {
    const most = MOST_CPU[series.workload]
    if (most === undefined) return []
    const title = workloads.find(({ name }) => name === series.workload)?.title ?? series.workload
    const reference = referenceOf(series)
    const what = `${title}${reference === 'bare' ? '' : `, ${series.database === 'sqlite' ? 'SQLite' : 'MariaDB'}`}: CPU, times ${TITLES[reference]}`
    return [[what, String(most), ...SHOWN.map(name => {
      const spread = ratiosOf(series, name, reference)
      return judged(describe(spread), spread.lower, spread.upper, most)
    })]]
  })
  const perOpenRequest = (name: ContenderName) => memory.find(({ contender }) => contender === name)?.perOpenRequest ?? NaN
  const held = SHOWN.map(name => Math.round(perOpenRequest(name) - perOpenRequest('bare'))).map(bytes => judged(String(bytes), bytes, bytes, MOST_BYTES))
  return table(['what', 'at most', ...SHOWN.map(name => TITLES[name])], [...cpu, ['an open request that uses no database: bytes over bare Fastify', String(MOST_BYTES), ...held]])
}

/** Half of all rounds lie between the quartiles: a target between them is neither met nor missed. */
function judged (text: string, lower: number, upper: number, most: number): string {
  if (Number.isNaN(lower)) return ''
  return `${text}: ${lower > most ? 'missed' : upper <= most ? 'met' : 'cannot be told'}`
}
