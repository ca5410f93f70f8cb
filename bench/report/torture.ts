import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { countBy, type Entry, type Ledger } from '../../torture/ledger.ts'

/** How many points the time axis has. */
const POINTS = 300

const KINDS = ['2xx or 3xx', '4xx', '5xx', 'none']

/** Draws a torture's answers over time, and the faults that struck meanwhile, as SVG. */
export async function plot (ledger: Ledger): Promise<string> {
  const { spec } = compile(describe(ledger))
  return await new View(parse(spec), { renderer: 'none' }).toSVG()
}

function describe ({ entries, strikes }: Ledger): TopLevelSpec {
  const last = entries.at(-1)?.at ?? 0
  const x = { type: 'quantitative' as const, title: null, scale: { domain: [0, last / 1000] } }
  return {
    config: { view: { stroke: null }, font: 'sans-serif' },
    background: 'white',
    vconcat: [
      {
        width: 900,
        height: 220,
        data: { values: rates(entries, last) },
        mark: { type: 'area', interpolate: 'step-after' },
        encoding: {
          x: { field: 'second', ...x },
          y: { field: 'rate', type: 'quantitative', title: 'answers per second', stack: true },
          color: { field: 'answer', type: 'nominal', title: 'answered', scale: { domain: KINDS, range: ['#54a24b', '#4c78a8', '#e45756', '#bab0ac'] } },
          order: { field: 'order' }
        }
      },
      {
        width: 900,
        height: { step: 14 },
        data: { values: strikes.map(({ name, from, to }) => ({ fault: name, from: from / 1000, to: to / 1000 })) },
        mark: { type: 'bar', color: '#72706f', minBandSize: 2 },
        encoding: {
          x: { field: 'from', ...x, title: 'seconds' },
          x2: { field: 'to' },
          y: { field: 'fault', type: 'nominal', title: null }
        }
      }
    ]
  }
}

/** Answers of each kind per second, at each point of the time axis. */
function rates (entries: readonly Entry[], last: number): { second: number, answer: string, order: number, rate: number }[] {
  const width = Math.max(last / POINTS, 250)
  const counts = countBy(entries.map(({ at, answer: { status } }) => `${Math.floor(at / width)} ${kindOf(status)}`))
  return Array.from({ length: Math.ceil(last / width) }, (_, point) => KINDS.map((answer, order) => ({
    second: point * width / 1000,
    answer,
    order,
    rate: (counts.get(`${point} ${answer}`) ?? 0) / width * 1000
  }))).flat()
}

function kindOf (status: number | undefined): string {
  if (status === undefined) return 'none'
  if (status < 400) return '2xx or 3xx'
  return status < 500 ? '4xx' : '5xx'
}
