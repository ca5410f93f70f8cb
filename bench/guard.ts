/**
 * Fails when a request costs more than it did: statements and round trips of each workload, counted on the wire, and what a request
 * that uses no database allocates; and when pages say anything but what was measured. Nothing is timed. `npm run check:bench` runs it.
 */
import { startServer } from '../test/support/mariadb.ts'
import { mysqlUrl } from '../test/support/server-urls.ts'
import { FLOOR, type ContenderName } from './contenders/all.ts'
import { allocationsOf } from './measure/allocations.ts'
import { countStatements } from './measure/statements.ts'
import { pages } from './report/pages.ts'
import { loadResults } from './results.ts'
import { STATIC, workloads } from './workloads.ts'

const GUARDED = ['scoped-db off', 'scoped-db on'] as const satisfies ContenderName[]

/** BEGIN and COMMIT are round trips like any other. */
const ROUND_TRIPS: Record<string, number> = { static: 0, read: 1, list: 1, insert: 3, update: 4 }

/** What a unit of work without a scope may take over hooks that do nothing, in bytes, without V8's optimizations. */
const MOST_BYTES = 700

async function checkStatements (): Promise<string[]> {
  const own = mysqlUrl() === undefined ? await startServer() : undefined
  const url = own?.url ?? mysqlUrl()
  if (url === undefined) throw new Error('there is no MariaDB server to count statements on')
  try {
    const counted = await countStatements(url, workloads, GUARDED)
    for (const { contender, workload, statements, roundTrips } of counted) console.log(`${contender}: ${workload}: ${statements} statements, ${roundTrips} round trips`)
    return counted.filter(({ workload, statements, roundTrips }) => statements !== ROUND_TRIPS[workload] || roundTrips !== ROUND_TRIPS[workload])
      .map(({ contender, workload }) => `${contender}: ${workload} should be ${ROUND_TRIPS[workload]} statements, each a round trip`)
  } finally {
    await own?.stop()
  }
}

async function checkAllocations (): Promise<string[]> {
  const bare = await allocationsOf('bare', STATIC)
  const idle = await allocationsOf(FLOOR, STATIC)
  console.log(`hooks that do nothing: ${idle.bytes - bare.bytes} bytes more than bare Fastify`)
  const failures: string[] = []
  for (const name of GUARDED) {
    const { promises, bytes } = await allocationsOf(name, STATIC)
    console.log(`${name}: ${(promises - bare.promises).toFixed(2)} promises and ${bytes - bare.bytes} bytes more than bare Fastify for a request that uses no database`)
    if (promises > bare.promises) failures.push(`${name}: a request that uses no database makes promises`)
    if (bytes - idle.bytes > MOST_BYTES) failures.push(`${name}: a request that uses no database should take at most ${MOST_BYTES} bytes more than hooks that do nothing`)
  }
  return failures
}

async function checkPages (): Promise<string[]> {
  return (await pages(await loadResults())).filter(({ isCurrent }) => !isCurrent).map(({ name }) => `${name} does not say what is in bench/results.json: npm run bench -- --report`)
}

const failures = [...await checkPages(), ...await checkStatements(), ...await checkAllocations()]
for (const failure of failures) console.error(`FAILED: ${failure}`)
process.exitCode = failures.length === 0 ? 0 : 1
