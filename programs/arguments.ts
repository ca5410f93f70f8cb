import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
import { parse, UsageError, wholeNumber } from '../scripts/command-line.ts'
import { isDatabaseName, DATABASES, type DatabaseName } from './database/open.ts'

/** What a run is told on the command line. */
export interface Arguments {
  readonly count: number
  readonly seed: number
  /** Which program of the seed, and which of those that it was shrunk to; all, if not given. */
  readonly path: string | undefined
  readonly database: DatabaseName
  readonly plugin: string
  /** Statements that no program has. */
  readonly without: readonly string[]
  /** How many differences of different shapes to collect. */
  readonly keepGoing: number
}

export const HELP = `npm run programs -- [options]
  --count N        how many programs to run (20000)
  --seed N         repeats the same programs (a new one each time)
  --path P         only the one that was found at this path
  --database D     ${DATABASES.join(' or ')} (sqlite)
  --without LIST   no programs with such statements: nested,parallel,throw,change(data),...
  --plugin FILE    the module with the plugin to judge (this project's)
  --keep-going N   goes on until N differences of different shapes are found (1)`

const OPTIONS = {
  count: { type: 'string', default: '20000' },
  seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  path: { type: 'string' },
  database: { type: 'string', default: 'sqlite' },
  plugin: { type: 'string', default: fileURLToPath(new URL('../plugin.ts', import.meta.url)) },
  without: { type: 'string', default: '' },
  'keep-going': { type: 'string', default: '1' }
} as const

/** @throws UsageError that says what is wrong */
export function readArguments (args: string[]): Arguments {
  const values = parse(args, OPTIONS)
  const { database, path } = values
  if (!isDatabaseName(database)) throw new UsageError(`--database is ${DATABASES.join(' or ')}, not ${database}`)
  return {
    count: wholeNumber('count', values.count),
    seed: wholeNumber('seed', values.seed),
    path,
    database,
    without: values.without === '' ? [] : values.without.split(','),
    plugin: resolve(values.plugin),
    keepGoing: wholeNumber('keep-going', values['keep-going'])
  }
}
