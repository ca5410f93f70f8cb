/** Tortures the plugin and checks its promise: `npm run torture -- --help`. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../scripts/command-line.ts'
import { HELP, readArguments, type Arguments } from './arguments.ts'
import { check, fatesOfUnknown, type Violation } from './checker.ts'
import type { Database } from './database/database.ts'
import { openDatabase } from './database/open.ts'
import { chooseFaults } from './faults/all.ts'
import type { Ledger } from './ledger.ts'
import { details, table } from './report.ts'
import { Storm } from './storm.ts'
import { readDropped, Works } from './works.ts'

/** How large the file is that replies are made of: more than what sockets take by themselves. */
const PAYLOAD = 32 * 1024 * 1024

type Draw = (ledger: Ledger) => Promise<void>

async function main (args: string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(args)
  const draw = await loadPlot(given.plot)
  const database = await openDatabase(given.database, given.cluster)
  const folder = await mkdtemp(join(tmpdir(), 'torture-'))
  const violations = await torture(given, database, folder, signal, draw)
  if (violations.length === 0) await rm(folder, { recursive: true })
  else console.log(`\nseed ${given.seed}; the application's logs are in ${folder}`)
  return violations.length === 0 ? 0 : 1
}

async function torture (given: Arguments, database: Database, folder: string, signal: AbortSignal, draw: Draw): Promise<Violation[]> {
  const { requests, seed, processes, clients, plugin, routes } = given
  const storm = new Storm(database, {
    requests,
    seed,
    processes,
    clients,
    plugin,
    routes,
    folder,
    signal,
    payload: await makePayload(folder),
    faults: chooseFaults(given.faults)
  })
  const { ledger } = storm
  const progress = setInterval(() => console.error(`${Math.round(ledger.now / 1000)} s: ${ledger.entries.length} of ${requests} requests, ${ledger.strikes.length} strikes`), 10_000)
  try {
    await storm.run()
    const conflicts = database.server?.proxy.count('conflict at COMMIT')
    const contents = await database.read()
    const missing = given.faults.filter(name => !ledger.faults().has(name)).map(name => `the fault ${name} never happened: send more requests`)
    const violations = [...[...ledger.complaints, ...missing].map(what => ({ what })), ...check(ledger.entries, contents, new Works(ledger.works, await readDropped(folder)))]
    const title = `torture of ${given.database}${given.cluster === undefined ? '' : `, ${given.cluster} nodes, ${conflicts} conflicts at COMMIT`}, seed ${seed}, ${Math.round(ledger.now / 1000)} s`
    console.log(table(title, ledger, fatesOfUnknown(ledger.entries, contents), violations))
    if (violations.length > 0) console.log(await details(violations, folder))
    await draw(ledger)
    return violations
  } finally {
    clearInterval(progress)
    await database.close()
  }
}

async function makePayload (folder: string): Promise<string> {
  const path = join(folder, 'payload')
  const file = await open(path, 'w')
  await file.truncate(PAYLOAD)
  await file.close()
  return path
}

/** What draws has its packages from bench/, which may not be installed: better to know before the run than after it. */
async function loadPlot (file: string | undefined): Promise<Draw> {
  if (file === undefined) return async () => {}
  const module = '../bench/report/torture.ts'
  const { plot } = await import(module) as { plot: (ledger: Ledger) => Promise<string> }
  return async ledger => { await writeFile(file, await plot(ledger)) }
}

await runCommand(HELP, main)
