import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { contenderNames, TITLES, type ContenderName } from '../contenders/all.ts'
import { DATABASES } from '../database.ts'
import type { Latency } from '../measure/latency.ts'
import type { Series } from '../measure/throughput.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'
import { ratiosOf, referenceOf } from './ratios.ts'

const LOOKS = { config: { view: { stroke: '#ddd' }, font: 'sans-serif' }, background: 'white' }

const titleOf = (name: ContenderName) => TITLES[name].replaceAll('`', '')
const IN_ORDER = contenderNames.map(titleOf)

/** Draws what was measured at each distance to the database, as SVG: one panel for each database. */
export async function plotLatency (all: readonly Latency[]): Promise<string> {
  const values = all.flatMap(({ database, delay, rounds }) => contenderNames.filter(name => rounds[name] !== undefined).map(name => ({
    contender: titleOf(name),
    database: DATABASES[database],
    delay: `${delay} ms`,
    p50: median(rounds[name]?.map(({ p50 }) => p50) ?? [])
  })))
  return await svg({
    ...LOOKS,
    data: { values },
    facet: { field: 'database', type: 'nominal', title: null },
    spec: {
      width: 300,
      height: 220,
      mark: 'bar',
      encoding: {
        x: { field: 'delay', type: 'nominal', title: 'further away, for each round trip', axis: { labelAngle: 0 } },
        xOffset: { field: 'contender', sort: IN_ORDER },
        y: { field: 'p50', type: 'quantitative', title: 'an insert over 16 connections: median, ms' },
        color: { field: 'contender', type: 'nominal', title: null, sort: IN_ORDER, legend: { orient: 'bottom', labelLimit: 300 } }
      }
    }
  })
}

/** Draws the ratios of all contenders, with their quartiles, as SVG: one panel for each workload and database. */
export async function plotCpu (all: readonly Series[]): Promise<string> {
  const values = all.flatMap(series => contenderNames.filter(name => series.rounds[name] !== undefined).map(name => ({
    contender: titleOf(name),
    panel: panelOf(series),
    ...ratiosOf(series, name, referenceOf(series))
  })))
  const y = { field: 'contender', type: 'nominal' as const, title: null, axis: { labelLimit: 300 }, sort: IN_ORDER }
  const x = { type: 'quantitative' as const, title: 'CPU per request, as a ratio: median and quartiles', scale: { zero: false } }
  return await svg({
    ...LOOKS,
    data: { values },
    facet: { field: 'panel', type: 'nominal', title: null, sort: all.map(panelOf), header: { labelLimit: 400 } },
    columns: 2,
    resolve: { scale: { x: 'independent' }, axis: { y: 'independent' } },
    spec: {
      width: 360,
      height: { step: 16 },
      layer: [
        { mark: { type: 'rule', color: '#bbb', strokeDash: [3, 3] }, encoding: { x: { datum: 1 } } },
        { mark: { type: 'rule', strokeWidth: 2, color: '#4c78a8' }, encoding: { y, x: { field: 'lower', ...x }, x2: { field: 'upper' } } },
        { mark: { type: 'point', filled: true, size: 50, color: '#4c78a8' }, encoding: { y, x: { field: 'median', ...x } } }
      ]
    }
  })
}

function panelOf (series: Series): string {
  const title = workloads.find(({ name }) => name === series.workload)?.title ?? series.workload
  return referenceOf(series) === 'bare' ? title : `${title}, ${DATABASES[series.database]}`
}

async function svg (spec: TopLevelSpec): Promise<string> {
  return await new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
