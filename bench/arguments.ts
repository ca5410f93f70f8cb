import { parse, UsageError, wholeNumber } from '../scripts/command-line.ts'
import { contenderNames, MAIN_CONTENDERS } from './contenders/all.ts'
import { DATABASES, type DatabaseKind } from './database.ts'
import { sizes, type Size } from './sizes.ts'
import { workloads, type Workload } from './workloads.ts'

const MAIN_SECTIONS = ['statements', 'allocations', 'throughput', 'latency', 'memory'] as const
const SECTIONS = [...MAIN_SECTIONS, 'open-scopes', 'flask'] as const
export type Section = typeof SECTIONS[number]

/** What a run is told on the command line. */
export interface Arguments {
  readonly size: Size
  readonly sections: readonly Section[]
  readonly workloads: readonly Workload[]
  /** Whether the results go into bench/results.json, bench/report.md and docs/performance.md. */
  readonly isPublished: boolean
  /** Whether those that are published already stay where nothing was measured now. */
  readonly isPart: boolean
  /** Whether nothing is measured, and the last results are written there again. */
  readonly isReport: boolean
}

const databaseNames = Object.keys(DATABASES) as DatabaseKind[]

export const HELP = `npm run bench -- [options]
  (none)              what is published, in a quarter of an hour: bench/results.json, and tables and plots of it in bench/report.md and docs/performance.md
  --quick             about two minutes, which shows that it works rather than anything else; publishes nothing
  --all               every contender, workload, database and section, with 1, 16 and 1000 connections: hours
  --sections LIST     of ${SECTIONS.join(',')}; those that are published and not named stay
  --contenders LIST   of ${contenderNames.join(',')}
  --workloads LIST    of ${workloads.map(({ name }) => name).join(',')}
  --databases LIST    of ${databaseNames.join(',')}
  --connections LIST  how many at a time
  --rounds N          how often everybody has a turn
  --publish           whatever else was said
  --report            measures nothing: writes the pages from the bench/results.json that is there`

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  all: { type: 'boolean', default: false },
  publish: { type: 'boolean', default: false },
  report: { type: 'boolean', default: false },
  sections: { type: 'string' },
  contenders: { type: 'string' },
  workloads: { type: 'string' },
  databases: { type: 'string' },
  connections: { type: 'string' },
  rounds: { type: 'string' }
} as const

/** @throws UsageError that says what is wrong */
export function readArguments (args: string[]): Arguments {
  const values = parse(args, OPTIONS)
  const { quick, all, publish, report, sections, contenders, databases, connections, rounds } = values
  const size = quick ? sizes.quick : sizes.full
  const named = listOf('workloads', values.workloads, workloads.map(({ name }) => name)) ?? workloads.filter(({ leaves }) => all || !leaves).map(({ name }) => name)
  const isWhole = [values.workloads, contenders, databases, connections, rounds].every(value => value === undefined)
  return {
    size: {
      ...size,
      contenders: listOf('contenders', contenders, contenderNames) ?? (all ? contenderNames : MAIN_CONTENDERS),
      databases: listOf('databases', databases, databaseNames) ?? (all ? databaseNames : size.databases),
      connections: connections?.split(',').map(text => wholeNumber('connections', text)) ?? (all ? [1, 16, 1000] : size.connections),
      rounds: rounds === undefined ? size.rounds : wholeNumber('rounds', rounds)
    },
    sections: listOf('sections', sections, SECTIONS) ?? (all ? SECTIONS : MAIN_SECTIONS),
    workloads: workloads.filter(({ name }) => named.includes(name)),
    isPublished: publish || (isWhole && !quick),
    isPart: sections !== undefined,
    isReport: report
  }
}

function listOf<T extends string> (option: string, list: string | undefined, known: readonly T[]): readonly T[] | undefined {
  return list?.split(',').map(name => {
    if (!known.includes(name as T)) throw new UsageError(`--${option}: there is no "${name}", only ${known.join(', ')}`)
    return name as T
  })
}
