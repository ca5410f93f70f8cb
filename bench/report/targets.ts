import { TITLES, type ContenderName } from '../contenders/all.ts'
import { DATABASES } from '../database.ts'
import type { Memory, OpenRequests } from '../measure/memory.ts'
import type { Results } from '../results.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'
import { describe, table } from './markdown.ts'
import { ratiosOf, referenceOf, scavengesOf } from './ratios.ts'

const SHOWN = ['scoped-db off', 'scoped-db on'] as const satisfies ContenderName[]

/** What a request's CPU may be, as a multiple of the reference's, at so many connections. */
const MOST_CPU: Readonly<Record<string, number>> = { static: 1.05, read: 1.06, list: 1.06, insert: 1.02, update: 1.02 }
const CONNECTIONS = 16

/** What a scavenge may take, and a request with a session that is open may keep, as multiples of the documented hook's. */
const MOST_SCAVENGE = 1.2
export const MOST_SESSION = 1.5

/** What was aimed at, and whether it was met. */
export function targetsTable ({ throughput = [], memory = [] }: Results): string {
  const rows = throughput.filter(({ connections, workload }) => connections === CONNECTIONS && workload in MOST_CPU).flatMap(series => {
    const title = workloads.find(({ name }) => name === series.workload)?.title ?? series.workload
    const reference = referenceOf(series)
    const place = reference === 'bare' ? title : `${title}, ${DATABASES[series.database]}`
    const cpu = row(`${place}: CPU, times ${TITLES[reference]}`, MOST_CPU[series.workload] as number, name => {
      const spread = ratiosOf(series, name, reference)
      return { ratio: spread.median, text: describe(spread) }
    })
    if (reference === 'bare') return [cpu]
    const scavenge = row(`${place}: milliseconds of a scavenge, times the hook's`, MOST_SCAVENGE, name => {
      const ratio = median(scavengesOf(series, name)) / median(scavengesOf(series, 'request-context'))
      return { ratio, text: ratio.toFixed(2) }
    })
    return [cpu, scavenge]
  })
  const session = row('an open request with a session: bytes over bare Fastify, times the hook\'s', MOST_SESSION, name => {
    const ratio = sessionRatio(memory, name)
    return { ratio, text: ratio.toFixed(2) }
  })
  return table(['what', 'at most', ...SHOWN.map(name => TITLES[name])], [...rows, session])
}

/** How many times the bytes of the hook's session. */
export function sessionRatio (memory: readonly (Memory | OpenRequests)[], name: ContenderName): number {
  const of = (contender: ContenderName) => memory.find(one => one.contender === contender)
  const bare = of('bare')?.perOpenRequest ?? NaN
  const over = (contender: ContenderName) => (of(contender)?.perOpenSession ?? NaN) - bare
  return over(name) / over('request-context')
}

function row (what: string, most: number, measure: (name: ContenderName) => { ratio: number, text: string }): string[] {
  return [what, String(most), ...SHOWN.map(name => {
    const { ratio, text } = measure(name)
    return Number.isNaN(ratio) ? '' : `${text}: ${ratio <= most ? 'met' : 'missed'}`
  })]
}
