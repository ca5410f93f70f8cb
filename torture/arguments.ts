import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
import { namesIn, parse, UsageError, wholeNumber } from '../scripts/command-line.ts'
import { DATABASES, isDatabaseName, type DatabaseName } from './database/open.ts'
import { faultNames } from './faults/all.ts'
import { ROUTES, type Route } from './routes.ts'

/** What a run is told on the command line. */
export interface Arguments {
  readonly requests: number
  readonly seed: number
  readonly faults: readonly string[]
  readonly routes: readonly Route[]
  readonly database: DatabaseName
  /** How many nodes it has, if it is a cluster. */
  readonly cluster: number | undefined
  /** How many processes the application has. */
  readonly processes: number
  readonly clients: number
  readonly plugin: string
  /** Where to draw the answers over time, if anywhere. */
  readonly plot: string | undefined
}

export const HELP = `npm run torture -- [options]
  --requests N    how many to send (20000)
  --seed N        repeats the same requests and faults (a new one each time)
  --faults LIST   all, none, or names with commas between: ${faultNames('cluster').join(',')}
  --routes LIST   all, or names with commas between: ${ROUTES.map(({ name }) => name).join(',')}
  --database D    ${DATABASES.join(' or ')} (mysql)
  --cluster N     so many nodes of MariaDB Galera Cluster behind HAProxy, rather than one server
  --processes N   of the application (1; with --cluster 3)
  --clients N     how many send at a time (64)
  --plugin FILE   the module with the plugin to torture (this project's)
  --plot FILE     draw the answers over time as SVG; needs npm ci --prefix bench`

const OPTIONS = {
  requests: { type: 'string', default: '20000' },
  seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  faults: { type: 'string', default: 'all' },
  routes: { type: 'string', default: 'all' },
  database: { type: 'string', default: 'mysql' },
  cluster: { type: 'string' },
  processes: { type: 'string' },
  clients: { type: 'string', default: '64' },
  plugin: { type: 'string', default: fileURLToPath(new URL('../plugin.ts', import.meta.url)) },
  plot: { type: 'string' }
} as const

/** @throws UsageError that says what is wrong */
export function readArguments (args: string[]): Arguments {
  const values = parse(args, OPTIONS)
  const { database } = values
  const cluster = values.cluster === undefined ? undefined : wholeNumber('cluster', values.cluster)
  if (!isDatabaseName(database)) throw new UsageError(`--database is ${DATABASES.join(' or ')}, not ${database}`)
  if (cluster !== undefined && database !== 'mysql') throw new UsageError(`--cluster is one of mysql, not of ${database}`)
  return {
    requests: wholeNumber('requests', values.requests),
    seed: wholeNumber('seed', values.seed),
    clients: wholeNumber('clients', values.clients),
    faults: namesIn('faults', values.faults === 'none' ? '' : values.faults, faultNames(cluster !== undefined ? 'cluster' : database === 'sqlite' ? 'file' : 'server'), ` for ${database}`),
    routes: readRoutes(values.routes),
    database,
    cluster,
    processes: wholeNumber('processes', values.processes ?? (cluster === undefined ? '1' : '3')),
    plugin: resolve(values.plugin),
    plot: values.plot
  }
}

function readRoutes (list: string): Route[] {
  const names = namesIn('routes', list, ROUTES.map(({ name }) => name))
  return ROUTES.filter(({ name }) => names.includes(name))
}
