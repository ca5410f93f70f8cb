import { contenderNames, FLOOR, TITLES, type SubjectName } from '../contenders/all.ts'
import type { Allocations } from '../measure/allocations.ts'
import type { Flask } from '../measure/flask.ts'
import type { Memory } from '../measure/memory.ts'
import type { OpenScopes } from '../measure/open-scopes.ts'
import type { Statements } from '../measure/statements.ts'
import type { Round, Series } from '../measure/throughput.ts'
import type { Results } from '../results.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'
import { describe, table } from './markdown.ts'
import { ratiosOf, referenceOf } from './ratios.ts'
import { targetsTable } from './targets.ts'

/** The tables in Markdown, each under the name of its place in bench/report.md. */
export function tables (results: Results): Record<string, string> {
  const { machine, statements, allocations, throughput, memory, openScopes, flask } = results
  return {
    machine: table(['what', 'which'], Object.entries(machine)),
    targets: targetsTable(results),
    ...throughput === undefined ? {} : { throughput: throughput.map(throughputTable).join('\n\n') },
    ...statements === undefined ? {} : { statements: statementsTable(statements) },
    ...allocations === undefined ? {} : { allocations: allocationsTable(allocations) },
    ...memory === undefined ? {} : { memory: memoryTable(memory) },
    ...flask === undefined ? {} : { flask: flaskTable(flask) },
    ...openScopes === undefined ? {} : { 'open scopes': openScopesTable(openScopes) }
  }
}

function throughputTable (series: Series): string {
  const { workload, database, connections, rounds } = series
  const usesDatabase = series.rounds.bare === undefined
  const titles = ['', 'CPU µs per request', `CPU, times ${usesDatabase ? 'the documented hook' : 'bare Fastify'}`, ...usesDatabase ? ['CPU, times hand-written'] : [], 'requests per second', 'p50 ms', 'p99 ms']
  const title = workloads.find(({ name }) => name === workload)?.title ?? workload
  const rows = contenderNames.flatMap(name => {
    const own = rounds[name]
    if (own === undefined) return []
    const middle = (what: keyof Round, digits: number) => median(own.map(round => round[what])).toFixed(digits)
    const compared = usesDatabase ? [referenceOf(series), 'hand-written' as const] : [referenceOf(series)]
    return [[TITLES[name], middle('cpu', 1), ...compared.map(reference => describe(ratiosOf(series, name, reference))), middle('perSecond', 0), middle('p50', 2), middle('p99', 2)]]
  })
  const place = usesDatabase ? `${database === 'sqlite' ? 'SQLite in memory' : 'MariaDB over TCP'}, ` : ''
  return `**${title[0]?.toUpperCase()}${title.slice(1)}**: ${place}${connections === 1 ? 'one connection' : `${connections} connections`}, ${rounds['scoped-db on']?.length ?? 0} rounds of ${series.requests} requests\n\n${table(titles, rows)}`
}

function statementsTable (all: readonly Statements[]): string {
  return countsTable('statements / round trips', all, ({ statements, roundTrips }) => `${statements} / ${roundTrips}`)
}

function allocationsTable (all: readonly Allocations[]): string {
  return countsTable('promises / KiB', all, ({ promises, bytes }) => `${promises.toFixed(0)} / ${(bytes / 1024).toFixed(1)}`)
}

/** A row for each contender, a column for each workload. */
function countsTable<Count extends { contender: SubjectName, workload: string }> (title: string, all: readonly Count[], describe: (count: Count) => string): string {
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
    [contender === FLOOR ? 'hooks that do nothing' : TITLES[contender], over(perOpenRequest), over(perOpenSession), growth(afterFew, afterMany), growth(afterFewLeaving, afterManyLeaving)])
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
