import { parse, UsageError, wholeNumber } from '../scripts/command-line.ts'
import { contenderNames, type ContenderName } from './contenders/all.ts'
import { sizes, type Size, type SizeName } from './sizes.ts'
import { workloads, type Workload } from './workloads.ts'

export const SECTIONS = ['throughput', 'statements', 'allocations', 'memory', 'open-scopes', 'flask'] as const
export type Section = typeof SECTIONS[number]

/** What a request makes is the same in every run, and takes a minute and a half to count. */
const QUICK_SECTIONS = SECTIONS.filter(section => section !== 'allocations')

/** What a run is told on the command line. */
export interface Arguments {
  readonly size: Size
  readonly sections: readonly Section[]
  readonly workloads: readonly Workload[]
  /** Whether the results go into bench/report.md and docs/performance.md. */
  readonly isPublished: boolean
  /** Whether nothing is measured, and the last results are written there again. */
  readonly isReport: boolean
}

export const HELP = `npm run bench -- [options]
  --quick             about two minutes, which shows that it works rather than anything else
  --smoke             a few requests of each kind: whether it works at all
  --sections LIST     of ${SECTIONS.join(',')} (all; all but allocations with --quick and --smoke)
  --contenders LIST   of ${contenderNames.join(',')} (all)
  --workloads LIST    of ${workloads.map(({ name }) => name).join(',')} (all)
  --connections LIST  how many at a time (1,50,1000)
  --rounds N          how often everybody has a turn, at least (15)
  --publish           write the figures into bench/results.json, and tables and plots of them into bench/report.md and docs/performance.md
  --report            only the latter, from the bench/results.json that is there`

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  smoke: { type: 'boolean', default: false },
  publish: { type: 'boolean', default: false },
  report: { type: 'boolean', default: false },
  sections: { type: 'string' },
  contenders: { type: 'string' },
  workloads: { type: 'string' },
  connections: { type: 'string' },
  rounds: { type: 'string' }
} as const

/** @throws UsageError that says what is wrong */
export function readArguments (args: string[]): Arguments {
  const values = parse(args, OPTIONS)
  const name: SizeName = values.smoke ? 'smoke' : values.quick ? 'quick' : 'full'
  const size = sizes[name]
  return {
    size: {
      ...size,
      contenders: listOf<ContenderName>('contenders', values.contenders, contenderNames),
      connections: values.connections === undefined ? size.connections : values.connections.split(',').map(text => wholeNumber('connections', text)),
      rounds: values.rounds === undefined ? size.rounds : wholeNumber('rounds', values.rounds)
    },
    sections: values.sections === undefined && name !== 'full' ? QUICK_SECTIONS : listOf<Section>('sections', values.sections, SECTIONS),
    workloads: listOf('workloads', values.workloads, workloads.map(({ name }) => name)).map(name => workloads.find(workload => workload.name === name) as Workload),
    isPublished: values.publish,
    isReport: values.report
  }
}

function listOf<T extends string> (option: string, list: string | undefined, known: readonly T[]): readonly T[] {
  if (list === undefined) return known
  return list.split(',').map(name => {
    if (!known.includes(name as T)) throw new UsageError(`--${option}: there is no "${name}", only ${known.join(', ')}`)
    return name as T
  })
}
