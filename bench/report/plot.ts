import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { contenderNames, TITLES } from '../contenders/all.ts'
import type { Series } from '../measure/throughput.ts'
import { workloads } from '../workloads.ts'
import { ratiosOf, referenceOf } from './ratios.ts'

/** Draws the ratios of all contenders, with their quartiles, as SVG: one panel for each workload. */
export async function plot (all: readonly Series[]): Promise<string> {
  const { spec } = compile(describe(all))
  return await new View(parse(spec), { renderer: 'none' }).toSVG()
}

function describe (all: readonly Series[]): TopLevelSpec {
  const values = all.flatMap(series => contenderNames.filter(name => series.rounds[name] !== undefined).map(name => ({
    contender: TITLES[name].replaceAll('`', ''),
    workload: workloads.find(workload => workload.name === series.workload)?.title ?? series.workload,
    reference: referenceOf(series),
    ...ratiosOf(series, name, referenceOf(series))
  })))
  const y = { field: 'contender', type: 'nominal' as const, title: null, axis: { labelLimit: 300 }, sort: contenderNames.map(name => TITLES[name].replaceAll('`', '')) }
  const x = { type: 'quantitative' as const, title: 'CPU per request, as a ratio: median and quartiles', scale: { zero: false } }
  return {
    config: { view: { stroke: '#ddd' }, font: 'sans-serif' },
    background: 'white',
    data: { values },
    facet: { field: 'workload', type: 'nominal', title: null, sort: workloads.map(({ title }) => title), header: { labelLimit: 400 } },
    columns: 2,
    resolve: { scale: { x: 'independent' }, axis: { y: 'independent' } },
    spec: {
      width: 300,
      height: { step: 16 },
      layer: [
        { mark: { type: 'rule', color: '#bbb', strokeDash: [3, 3] }, encoding: { x: { datum: 1 } } },
        { mark: { type: 'rule', strokeWidth: 2, color: '#4c78a8' }, encoding: { y, x: { field: 'lower', ...x }, x2: { field: 'upper' } } },
        { mark: { type: 'point', filled: true, size: 50, color: '#4c78a8' }, encoding: { y, x: { field: 'median', ...x } } }
      ]
    }
  }
}
