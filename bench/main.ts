/** Measures what the plugin costs beside its alternatives: `npm run bench -- --help`. */
import { startServer, type Server } from '../test/support/mariadb.ts'
import { UsageError } from '../scripts/command-line.ts'
import { HELP, readArguments, type Arguments } from './arguments.ts'
import { FLOOR } from './contenders/all.ts'
import { describeMachine } from './machine.ts'
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
  const results = await measured(given)
  console.log(Object.values(tables(results)).join('\n\n'))
  if (!given.isPublished) return
  const all = merged(await loadResults(), results)
  await saveResults(all)
  await publish(all)
}

/** On a MariaDB of its own, unless MYSQL_URL names one; without either, on SQLite alone. */
async function measured (given: Arguments): Promise<Results> {
  const own: Server | undefined = process.env['MYSQL_URL'] === undefined ? await startServer(['--max-connections=500']) : undefined
  const url = own?.url ?? process.env['MYSQL_URL']
  if (url === undefined) console.error('no MariaDB server: only SQLite is measured')
  try {
    return await measureAll(given, url)
  } finally {
    await own?.stop()
  }
}

async function measureAll ({ size, sections, workloads }: Arguments, url: string | undefined): Promise<Results> {
  const progress = (text: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)
  const results: { -readonly [Key in keyof Results]: Results[Key] } = { machine: await describeMachine(url) }
  if (sections.includes('statements') && url !== undefined) {
    progress('statements')
    results.statements = await countStatements(url, workloads, size.contenders)
  }
  if (sections.includes('throughput')) {
    const onSqlite = await measureThroughput('sqlite', undefined, workloads, size, progress)
    const rest = workloads.filter(({ usesDatabase }) => usesDatabase)
    results.throughput = [...onSqlite, ...url === undefined ? [] : await measureThroughput('mariadb', url, rest, size, progress)]
  }
  if (sections.includes('memory')) {
    const memory: Memory[] = []
    for (const contender of [...size.contenders, FLOOR]) {
      progress(`memory: ${contender}`)
      memory.push(await measureMemory(contender, size))
    }
    results.memory = memory
  }
  if (sections.includes('open-scopes')) {
    progress('open scopes')
    results.openScopes = await measureOpenScopes(size)
  }
  if (sections.includes('flask') && url !== undefined) {
    progress('Flask-SQLAlchemy')
    if (hasFlask()) results.flask = await measureFlask(url, size)
    else progress('left out: apt-get install python3-flask-sqlalchemy python3-mysqldb gunicorn')
  }
  return results
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${HELP}` : error)
  process.exitCode = 1
}
