import { relative } from 'node:path'
import type { Entry, SentStatement } from './entry.ts'
import { withLiterals } from './literals.ts'

/** How often a statement is sent before it is marked as repeated. */
const REPEATED = 3

/** What is said of entries. */
export interface ViewSettings {
  readonly slowerThan: number
  /** Whether EXPLAIN can be asked about a statement. */
  isExplainable (statement: SentStatement): boolean
}

/** Which entries are wanted. */
export interface Wanted {
  readonly search?: string
  readonly only?: Filter
}

export const FILTERS = ['statements', 'failed', 'rollback', 'repeated', 'slow'] as const
type Filter = typeof FILTERS[number]

type Summary = ReturnType<typeof summaryOf>

const MATCHES: Record<Filter, (summary: Summary) => boolean> = {
  statements: ({ statements }) => statements > 0,
  failed: ({ status, error, failed }) => Number(status) >= 400 || error !== undefined || failed > 0,
  rollback: ({ outcome }) => outcome === 'rollback',
  repeated: ({ repeated }) => repeated > 0,
  slow: ({ slow }) => slow > 0
}

/** One line for each entry that is wanted. */
export function listOf (entries: readonly Entry[], { search = '', only }: Wanted, settings: ViewSettings): Summary[] {
  const text = search.toLowerCase()
  return entries.filter(entry => textsOf(entry).some(one => one.toLowerCase().includes(text)))
    .map(entry => summaryOf(entry, settings))
    .filter(summary => only === undefined || MATCHES[only](summary))
}

/** All that is known of one. Values are in it only where they are asked for. */
export function detailOf (entry: Entry, hasValues: boolean, settings: ViewSettings) {
  const repeated = repeatedIn(entry)
  return {
    ...summaryOf(entry, settings),
    ...hasValues && { message: entry.error?.message },
    replied: rounded(entry.replied),
    leftOut: entry.leftOut,
    connections: entry.connections.map(({ database, at, waited, held }) => ({ database, at: rounded(at), waited: rounded(waited), held: rounded(held) })),
    sent: entry.statements.map(statement => ({
      ...viewOf(statement, hasValues),
      repeated: repeated.get(textOf(statement)),
      isSlow: isSlow(statement, settings),
      isExplainable: settings.isExplainable(statement)
    }))
  }
}

function summaryOf (entry: Entry, settings: ViewSettings) {
  const { id, version, kind, request, time, isRunning, duration, status, hasClientLeft, outcome, reason, error, sent, databaseTime, waited, held, statements } = entry
  return {
    id,
    version,
    kind,
    request,
    time: new Date(time).toISOString(),
    isRunning,
    duration: rounded(duration),
    status,
    hasClientLeft,
    outcome,
    reason,
    error: error?.code,
    statements: sent,
    databaseTime: rounded(databaseTime),
    waited: rounded(waited),
    held: rounded(held),
    repeated: repeatedIn(entry).size,
    slow: statements.filter(statement => isSlow(statement, settings)).length,
    failed: statements.filter(({ error }) => error !== undefined).length
  }
}

function viewOf ({ literals, error, place, at, duration, ...statement }: SentStatement, hasValues: boolean) {
  return {
    ...statement,
    at: rounded(at),
    duration: rounded(duration),
    place: place === undefined ? undefined : relative(process.cwd(), place),
    error: error?.code,
    parameters: literals?.length,
    ...hasValues && { values: literals, message: error?.message, runnable: literals && withLiterals(statement.sql, literals) }
  }
}

function textsOf ({ kind, request, reason = '', statements }: Entry): string[] {
  return [kind, `${request?.method} ${request?.url}`, request?.route ?? '', request?.id ?? '', reason, ...statements.map(({ sql }) => sql)]
}

/** The texts that were sent too often, and how often. */
function repeatedIn ({ statements }: Entry): Map<string, number> {
  const counts = Map.groupBy(statements.filter(({ kind }) => kind !== 'control'), textOf)
  return new Map([...counts].map(([text, { length }]) => [text, length] as const).filter(([, times]) => times >= REPEATED))
}

function textOf ({ database, sql }: SentStatement): string {
  return `${database} ${sql}`
}

function isSlow ({ duration = 0 }: SentStatement, { slowerThan }: ViewSettings): boolean {
  return duration >= slowerThan
}

/** To whole microseconds. */
function rounded<Time extends number | undefined> (milliseconds: Time): Time {
  return (milliseconds === undefined ? undefined : Math.round(milliseconds * 1_000) / 1_000) as Time
}
