/** Has the plugin meet a database and a network that are simulated: `npm run simulate -- --help`. */
import { clock } from './clock.ts'
import { pathToFileURL } from 'node:url'
import { runCommand } from '../scripts/command-line.ts'
import type { Plugin } from './application.ts'
import { HELP, readArguments } from './arguments.ts'
import { Report } from './report.ts'
import { Schedule } from './schedule.ts'

async function main (args: string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(args)
  const { schedules, seed: first, plugin: file, routes, faults, keepGoing } = given
  const { default: plugin } = await import(pathToFileURL(file).href) as { default: Plugin }
  const report = new Report(given)
  // MikroORM writes here of what cannot be converted, before it throws.
  const { error: write } = console
  console.error = (...texts: unknown[]) => { if (!String(texts[0]).startsWith('JIT runtime error: ')) write(...texts) }
  for (let seed = first; seed < first + schedules && report.violating < keepGoing; seed++) {
    signal.throwIfAborted()
    const outcome = await new Schedule(seed, plugin, routes, faults).run()
    report.add(seed, outcome, clock.now)
  }
  console.log(report.summary())
  return report.violating === 0 ? 0 : 1
}

await runCommand(HELP, main)
