/** Measures what the plugin costs beside its alternatives: `npm run bench -- --help`. */
import { startServer } from '../test/support/mariadb.ts'
import type { Server } from '../test/support/server.ts'
import { mysqlUrl } from '../test/support/server-urls.ts'
import { UsageError } from '../scripts/command-line.ts'
import { HELP, readArguments, type Arguments } from './arguments.ts'
import { FLOOR } from './contenders/all.ts'
import { describeMachine } from './machine.ts'
import { countAllocations } from './measure/allocations.ts'
import { hasFlask, measureFlask } from './measure/flask.ts'
import { measureMemory, type Memory } from './measure/memory.ts'
import { measureOpenScopes } from './measure/open-scopes.ts'
import { countStatements } from './measure/statements.ts'
import { measureThroughput } from './measure/throughput.ts'
import { publish } from './report/publish.ts'
import { tables } from './report/tables.ts'
import { loadResults, merged, saveResults, type Results } from './results.ts'

async function main (args: string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(HELP)
    return
  }
  const given = readArguments(args)
  if (given.isReport) {
    await publish(await loadResults())
    return
  }
  let all: Results = { machine: {} }
  for await (const part of measured(given)) {
    all = merged(all, part)
    if (given.isPublished) await published(part)
  }
  console.log(Object.values(tables(all)).join('\n\n'))
}

/** At once: what comes later can fail. */
async function published (part: Results): Promise<void> {
  const all = merged(await loadResults(), part)
  await saveResults(all)
  await publish(all)
}

/** Part by part, on a MariaDB of its own, unless MYSQL_URL names one; without either, on SQLite alone. */
async function * measured (given: Arguments): AsyncGenerator<Results> {
  const own: Server | undefined = mysqlUrl() === undefined ? await startServer(['--max-connections=500']) : undefined
  const url = own?.url ?? mysqlUrl()
  if (url === undefined) console.error('no MariaDB server: only SQLite is measured')
  try {
    const machine = await describeMachine(url)
    for await (const part of measureAll(given, url)) yield { machine, ...part }
  } finally {
    await own?.stop()
  }
}

async function * measureAll ({ size, sections, workloads }: Arguments, url: string | undefined): AsyncGenerator<Omit<Results, 'machine'>> {
  const progress = (text: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)
  if (sections.includes('statements') && url !== undefined) {
    progress('statements')
    yield { statements: await countStatements(url, workloads, size.contenders) }
  }
  if (sections.includes('allocations')) {
    progress('allocations')
    yield { allocations: await countAllocations(workloads, size.contenders) }
  }
  if (sections.includes('throughput')) {
    yield { throughput: await measureThroughput('sqlite', undefined, workloads, size, progress) }
    const rest = workloads.filter(({ usesDatabase }) => usesDatabase)
    if (url !== undefined) yield { throughput: await measureThroughput('mariadb', url, rest, size, progress) }
  }
  if (sections.includes('memory')) {
    const memory: Memory[] = []
    for (const contender of [...size.contenders, FLOOR]) {
      progress(`memory: ${contender}`)
      memory.push(await measureMemory(contender, size))
    }
    yield { memory }
  }
  if (sections.includes('open-scopes')) {
    progress('open scopes')
    yield { openScopes: await measureOpenScopes(size) }
  }
  if (sections.includes('flask') && url !== undefined) {
    progress('Flask-SQLAlchemy')
    if (hasFlask()) yield { flask: await measureFlask(url, size) }
    else progress('left out: apt-get install python3-flask-sqlalchemy python3-mysqldb gunicorn')
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${HELP}` : error)
  process.exitCode = 1
}
