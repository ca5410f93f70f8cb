import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { namesIn, parse, wholeNumber } from '../scripts/command-line.ts'
import { ROUTES, type Route } from '../torture/routes.ts'
import { FAULTS, type Fault } from './faults.ts'

/** What a run is told on the command line. */
export interface Arguments {
  readonly schedules: number
  /** That of the first schedule; each other has the next one. */
  readonly seed: number
  readonly faults: readonly Fault[]
  readonly routes: readonly Route[]
  readonly plugin: string
  /** How many schedules with violations to show. */
  readonly keepGoing: number
  /** Those among them that decide what a seed means. */
  readonly others: readonly string[]
}

/** Those that need neither files nor sockets. */
const SIMULATED = ROUTES.filter(({ name, isUpgrade }) => isUpgrade !== true && name !== 'download')

export const HELP = `npm run simulate -- [options]
  --schedules N    how many to run (2000)
  --seed N         that of the first (a new one each time); one schedule is shown with all that is sent in it
  --faults LIST    all, none, or names with commas between: ${FAULTS.join(',')}
  --routes LIST    all, or names with commas between: ${SIMULATED.map(({ name }) => name).join(',')}
  --plugin FILE    the module with the plugin to simulate with (this project's)
  --keep-going N   goes on until N schedules have violations (1)`

const OPTIONS = {
  schedules: { type: 'string', default: '2000' },
  seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000) + 1) },
  faults: { type: 'string', default: 'all' },
  routes: { type: 'string', default: 'all' },
  plugin: { type: 'string', default: fileURLToPath(new URL('../plugin.ts', import.meta.url)) },
  'keep-going': { type: 'string', default: '1' }
} as const

/** @throws UsageError that says what is wrong */
export function readArguments (args: string[]): Arguments {
  const values = parse(args, OPTIONS)
  const routes = namesIn('routes', values.routes, SIMULATED.map(({ name }) => name))
  return {
    schedules: wholeNumber('schedules', values.schedules),
    seed: wholeNumber('seed', values.seed),
    faults: namesIn('faults', values.faults === 'none' ? '' : values.faults, FAULTS),
    routes: SIMULATED.filter(({ name }) => routes.includes(name)),
    plugin: resolve(values.plugin),
    keepGoing: wholeNumber('keep-going', values['keep-going']),
    others: (['faults', 'routes', 'plugin'] as const).filter(name => values[name] !== OPTIONS[name].default).flatMap(name => [`--${name}`, values[name]])
  }
}
