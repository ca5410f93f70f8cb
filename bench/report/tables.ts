import { contenderNames, TITLES, type ContenderName } from '../contenders/all.ts'
import { DATABASES } from '../database.ts'
import type { Allocations } from '../measure/allocations.ts'
import type { Flask } from '../measure/flask.ts'
import type { Latency } from '../measure/latency.ts'
import type { Memory } from '../measure/memory.ts'
import type { OpenScopes } from '../measure/open-scopes.ts'
import type { Statements } from '../measure/statements.ts'
import type { Round, Rounds, Series } from '../measure/throughput.ts'
import type { Results } from '../results.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'
import { describe, table } from './markdown.ts'
import { ratiosOf, referenceOf, scavengesOf } from './ratios.ts'
import { targetsTable } from './targets.ts'

/** The tables in Markdown, each under the name of its place in bench/report.md; undefined where nothing was measured. */
export function tables (results: Results): Record<string, string | undefined> {
  const { machine, statements, allocations, throughput, latency, memory, openScopes, flask } = results
  return {
    machine: table(['what', 'which'], Object.entries(machine)),
    targets: targetsTable(results),
    throughput: throughput?.map(throughputTable).join('\n\n'),
    latency: latency && latencyTable(latency),
    statements: statements && statementsTable(statements),
    allocations: allocations && allocationsTable(allocations),
    memory: memory && memoryTable(memory),
    flask: flask && flaskTable(flask),
    'open scopes': openScopes && openScopesTable(openScopes)
  }
}

/** The median of all rounds of a contender. */
function middleOf (rounds: readonly Round[]) {
  return (what: Exclude<keyof Round, 'scavenges'>, digits: number) => median(rounds.map(round => round[what])).toFixed(digits)
}

/** Those who took part, in the order of all tables. */
function entriesOf (rounds: Rounds): [ContenderName, readonly Round[]][] {
  return contenderNames.flatMap(name => rounds[name] === undefined ? [] : [[name, rounds[name]]])
}

function throughputTable (series: Series): string {
  const { workload, database, connections, rounds, requests } = series
  const reference = referenceOf(series)
  const titles = ['', 'CPU µs per request', `CPU, times ${TITLES[reference]}`, 'ms of a scavenge', 'scavenges, µs per request', 'requests per second', 'p50 ms', 'p99 ms']
  const title = workloads.find(({ name }) => name === workload)?.title ?? workload
  const rows = entriesOf(rounds).map(([name, own]) => {
    const middle = middleOf(own)
    const scavenges = scavengesOf(series, name)
    const perRequest = scavenges.reduce((sum, milliseconds) => sum + milliseconds, 0) * 1000 / (own.length * requests)
    return [TITLES[name], middle('cpu', 1), describe(ratiosOf(series, name, reference)), median(scavenges).toFixed(2), perRequest.toFixed(1), middle('perSecond', 0), middle('p50', 2), middle('p99', 2)]
  })
  const place = reference === 'bare' ? '' : `${DATABASES[database]}, `
  return `**${title[0]?.toUpperCase()}${title.slice(1)}**: ${place}${connections === 1 ? 'one connection' : `${connections} connections`}, ${entriesOf(rounds)[0]?.[1].length} rounds of ${requests} requests\n\n${table(titles, rows)}`
}

function latencyTable (all: readonly Latency[]): string {
  const rows = all.flatMap(({ database, delay, roundTrip, rounds }) => entriesOf(rounds).map(([name, own]) => {
    const middle = middleOf(own)
    return [`${DATABASES[database]}, ${delay} ms`, roundTrip.toFixed(2), TITLES[name], middle('perSecond', 0), middle('p50', 2), middle('p99', 2)]
  }))
  return table(['further away', 'a round trip, ms', '', 'inserts per second', 'p50 ms', 'p99 ms'], rows)
}

function statementsTable (all: readonly Statements[]): string {
  const kinds = [...new Set(all.map(({ database }) => database))]
  return kinds.map(kind => countsTable(`${DATABASES[kind]}: statements / round trips`, all.filter(({ database }) => database === kind), ({ statements, roundTrips }) => `${statements} / ${roundTrips}`)).join('\n\n')
}

function allocationsTable (all: readonly Allocations[]): string {
  return countsTable('promises / bytes', all, ({ promises, bytes }) => `${promises.toFixed(0)} / ${bytes}`)
}

/** A row for each contender, a column for each workload. */
function countsTable<Count extends { contender: ContenderName, workload: string }> (title: string, all: readonly Count[], describe: (count: Count) => string): string {
  const names = [...new Set(all.map(({ workload }) => workload))]
  const rows = contenderNames.filter(name => all.some(({ contender }) => contender === name)).map(name => [TITLES[name], ...names.map(workload => {
    const found = all.find(one => one.contender === name && one.workload === workload)
    return found === undefined ? '' : describe(found)
  })])
  return table([title, ...names], rows)
}

function memoryTable (all: readonly Memory[]): string {
  const bare = all.find(({ contender }) => contender === 'bare')
  const over = (value: number | undefined) => value === undefined || bare === undefined ? '' : String(Math.round(value - bare.perOpenRequest))
  const growth = (few: number | undefined, many: number | undefined) => few === undefined || many === undefined ? '' : `${mebibytes(few)} → ${mebibytes(many)}`
  const rows = all.map(({ contender, perOpenRequest, perOpenSession, afterFew, afterMany, afterFewLeaving, afterManyLeaving }) =>
    [TITLES[contender], over(perOpenRequest), over(perOpenSession), growth(afterFew, afterMany), growth(afterFewLeaving, afterManyLeaving)])
  return table(['', 'bytes for an open request that uses no database', 'bytes for one with a session', 'heap, MiB', 'heap with clients leaving, MiB'], rows)
}

function openScopesTable (all: readonly OpenScopes[]): string {
  const levels = [...new Set(all.map(({ open }) => open))]
  const names = [...new Set(all.map(({ contender }) => contender))]
  const rows = names.map(name => [TITLES[name], ...levels.map(level => {
    const found = all.find(({ contender, open }) => contender === name && open === level)
    return found === undefined ? '' : describe(found.cpu)
  })])
  return table(['open requests', ...levels.map(String)], rows)
}

function flaskTable (all: readonly Flask[]): string {
  const rows = all.map(({ workload, flask, plugin }) => [workload, flask.toFixed(0), plugin.toFixed(0), (plugin / flask).toFixed(1)])
  return table(['requests per second', 'Flask-SQLAlchemy', 'this plugin', 'times'], rows)
}

function mebibytes (bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}
