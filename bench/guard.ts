/**
 * Fails when a request costs more than what is published: statements and round trips, counted on the wire; promises and bytes; and what it
 * leaves to the garbage collector. And when pages say anything but what was measured. `npm run check:bench` runs it.
 */
import type { ContenderName } from './contenders/all.ts'
import { available, IN_MEMORY } from './database.ts'
import { countAllocations } from './measure/allocations.ts'
import { measureOpenRequests, type OpenRequests } from './measure/memory.ts'
import { countStatements } from './measure/statements.ts'
import { measureThroughput } from './measure/throughput.ts'
import { pages } from './report/pages.ts'
import { scavengesOf } from './report/ratios.ts'
import { sessionRatio } from './report/targets.ts'
import { loadResults, type Results } from './results.ts'
import { sizes } from './sizes.ts'
import { quantile } from './statistics.ts'
import { workloads } from './workloads.ts'

const HOOK = 'request-context' as const satisfies ContenderName
const GUARDED = ['scoped-db off', 'scoped-db on'] as const satisfies ContenderName[]

/** What is counted differs by little more than nothing from run to run. */
const TOLERANCE = 1.02
/** What an open session keeps does by more: its heap is compared before and after. */
const OPEN_REQUESTS = 1000
const OPEN_TOLERANCE = 1.2

/** A wide margin, since this is timed: what keeps dead requests alive makes a scavenge up to ten times as long. */
const MOST_SCAVENGE = 3
const SCAVENGED_AFTER = ['read', 'insert', 'update']
/** Without helpers a scavenge takes as long as it has to do, whatever else the machine does. */
const SCAVENGED = { ...sizes.quick, contenders: [HOOK, ...GUARDED], rounds: 6, warmUpShare: 0.2, roundCpu: 200_000, flags: ['--single-threaded-gc'] } as const

/** What a count should be at most. */
interface Limit {
  readonly what: string
  readonly now: number
  readonly most: number | undefined
}

async function statementLimits ({ statements: published = [] }: Results): Promise<Limit[]> {
  const limits: Limit[] = []
  for (const server of available(['mariadb', 'postgresql'])) {
    for (const { contender, database, workload, statements, roundTrips } of await countStatements(server, GUARDED)) {
      const before = published.find(count => count.contender === contender && count.database === database && count.workload === workload)
      limits.push({ what: `${contender}: ${workload}, ${database}: statements`, now: statements, most: before?.statements })
      limits.push({ what: `${contender}: ${workload}, ${database}: round trips`, now: roundTrips, most: before?.roundTrips })
    }
  }
  return limits
}

async function allocationLimits ({ allocations: published = [] }: Results): Promise<Limit[]> {
  const counted = await countAllocations(['bare', ...GUARDED])
  const bare = counted.find(({ contender }) => contender === 'bare')
  return counted.filter(({ contender }) => contender !== 'bare').flatMap(({ contender, workload, promises, bytes }) => {
    const before = published.find(count => count.contender === contender && count.workload === workload)
    // A request that uses no database makes none at all.
    const mostPromises = workload === bare?.workload ? bare.promises : before?.promises
    return [
      { what: `${contender}: ${workload}: promises`, now: promises, most: mostPromises },
      { what: `${contender}: ${workload}: bytes`, now: bytes, most: before && before.bytes * TOLERANCE }
    ]
  })
}

async function sessionLimits ({ memory: published = [] }: Results): Promise<Limit[]> {
  const open: OpenRequests[] = []
  for (const contender of ['bare', HOOK, ...GUARDED] as const) open.push(await measureOpenRequests(contender, OPEN_REQUESTS))
  return GUARDED.map(name => ({ what: `${name}: bytes of an open session, times the hook's`, now: sessionRatio(open, name), most: sessionRatio(published, name) * OPEN_TOLERANCE }))
}

/** By the quarter of them that was disturbed least. */
async function scavengeLimits (): Promise<Limit[]> {
  const [database = IN_MEMORY] = available(['mariadb', 'postgresql'])
  const measured = await measureThroughput(database, workloads.filter(({ name }) => SCAVENGED_AFTER.includes(name)), SCAVENGED, () => {})
  return measured.flatMap(series => GUARDED.flatMap(name => {
    const [own, hooks] = [scavengesOf(series, name), scavengesOf(series, HOOK)]
    const each = quantile(own, 0.25) / quantile(hooks, 0.25)
    return [
      { what: `${name}: ${series.workload}: milliseconds of a scavenge, times the hook's`, now: each, most: MOST_SCAVENGE },
      { what: `${name}: ${series.workload}: milliseconds in all scavenges, times the hook's`, now: each * own.length / hooks.length, most: MOST_SCAVENGE }
    ]
  }))
}

const results = await loadResults()
const failures = (await pages(results)).filter(({ isCurrent }) => !isCurrent).map(({ name }) => `${name} does not say what is in bench/results.json: npm run bench -- --report`)
// What is counted is the same however much else runs.
const counted = await Promise.all([statementLimits(results), allocationLimits(results), sessionLimits(results)])
for (const { what, now, most } of [...counted.flat(), ...await scavengeLimits()]) {
  const text = `${what}: ${Number(now.toFixed(2))}, at most ${most === undefined ? 'what is not published' : Number(most.toFixed(2))}`
  console.log(text)
  if (!(now <= Number(most))) failures.push(text)
}
for (const failure of failures) console.error(`FAILED: ${failure}`)
process.exitCode = failures.length === 0 ? 0 : 1
