/** Measures what the plugin costs beside its alternatives: `npm run bench -- --help`. */
import { UsageError } from '../scripts/command-line.ts'
import { HELP, readArguments, type Arguments } from './arguments.ts'
import { available } from './database.ts'
import { describeMachine } from './machine.ts'
import { countAllocations } from './measure/allocations.ts'
import { hasFlask, measureFlask } from './measure/flask.ts'
import { measureLatency, type Latency } from './measure/latency.ts'
import { measureMemory, type Memory } from './measure/memory.ts'
import { measureOpenScopes } from './measure/open-scopes.ts'
import { countStatements, type Statements } from './measure/statements.ts'
import { measureThroughput, type Series } from './measure/throughput.ts'
import { publish } from './report/publish.ts'
import { tables } from './report/tables.ts'
import { loadResults, saveResults, type Results } from './results.ts'

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
  const before = given.isPart ? await loadResults() : {}
  let now: Results = { machine: await describeMachine() }
  for await (const section of measured(given)) {
    now = { ...now, ...section }
    // At once: what comes later can fail.
    if (given.isPublished) await saveResults({ ...before, ...now })
  }
  if (given.isPublished) await publish(await loadResults())
  console.log(Object.values(tables(now)).filter(table => table !== undefined).join('\n\n'))
}

/** Section by section, on the servers that the environment names. */
async function * measured ({ size, sections, workloads }: Arguments): AsyncGenerator<Partial<Results>> {
  const progress = (text: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)
  const databases = available(size.databases)
  const servers = databases.filter(({ kind }) => kind !== 'sqlite')
  if (sections.includes('statements')) {
    progress('statements')
    const statements: Statements[] = []
    for (const server of servers) statements.push(...await countStatements(server, size.contenders))
    yield { statements }
  }
  if (sections.includes('allocations')) {
    progress('allocations')
    yield { allocations: await countAllocations(size.contenders) }
  }
  if (sections.includes('throughput')) {
    const throughput: Series[] = []
    for (const database of databases) {
      const asked = workloads.filter(({ usesDatabase }) => usesDatabase || database === databases[0])
      throughput.push(...await measureThroughput(database, asked, size, progress))
    }
    yield { throughput }
  }
  if (sections.includes('latency')) {
    const latency: Latency[] = []
    for (const server of servers) latency.push(...await measureLatency(server, size, progress))
    yield { latency }
  }
  if (sections.includes('memory')) {
    const memory: Memory[] = []
    for (const contender of size.contenders) {
      progress(`memory: ${contender}`)
      memory.push(await measureMemory(contender, size))
    }
    yield { memory }
  }
  if (sections.includes('open-scopes')) {
    progress('open scopes')
    yield { openScopes: await measureOpenScopes(size) }
  }
  const mariadb = servers.find(({ kind }) => kind === 'mariadb')
  if (sections.includes('flask') && mariadb !== undefined) {
    progress('Flask-SQLAlchemy')
    if (hasFlask()) yield { flask: await measureFlask(mariadb, size) }
    else progress('left out: apt-get install python3-flask-sqlalchemy python3-mysqldb gunicorn')
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${HELP}` : error)
  process.exitCode = 1
}
