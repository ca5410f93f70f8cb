import { isDeepStrictEqual } from 'node:util'
import type { Run } from './application.ts'
import type { Observation } from './observation.ts'
import { hasBranches, itemsWithOtherCodes, kindOf, type Name, type Program } from './program.ts'
import { named, type NamedRow } from './rows.ts'
import type { Verdict } from './sqlalchemy.ts'

/** Whether SQLAlchemy can tell what has to come of it. */
export function isComparable (program: Program): boolean {
  // With flushMode 'auto' MikroORM does not flush what has changed before each query, and finds what SQLAlchemy does not.
  return program.flushMode === 'always' && !hasBranches(program)
}

/**
 * Whether one of them has waited in vain for a lock, which is no reason for the other one to do so: which rows InnoDB keeps locked after a
 * rollback to a savepoint depends on what was written before it and in which order, and that is not the same.
 */
export function hasLockTimeout (verdict: Verdict, run: Run): boolean {
  return [verdict, run].some(({ message, observed }) => LOCK_TIMEOUT.test(message ?? '') || observed.some(isLockTimeout))
}

const LOCK_TIMEOUT = /lock wait timeout|due to lock timeout/i

/** What MikroORM with the plugin has made of a program, and SQLAlchemy has not. */
export function compareWith (program: Program, { isCommitted, error, message, observed, rows }: Verdict, run: Run): string[] {
  const outcome = (isCommitted: boolean) => isCommitted ? 'committed' : 'rolled back'
  if (isCommitted !== run.isCommitted) return [`it was answered ${run.status}${run.message === undefined ? '' : ` (${run.message})`}, which is ${outcome(run.isCommitted)}; with SQLAlchemy it is ${outcome(isCommitted)}${message === undefined ? '' : `: ${message}`}`]
  if (run.error !== undefined && error !== run.error) return [`it has failed: ${run.error}; with SQLAlchemy ${error} (${message})`]
  if (run.error === undefined && run.observed.length !== observed.length) return [`it has seen ${JSON.stringify(run.observed)}; with SQLAlchemy ${JSON.stringify(observed)}`]
  // A unique value may pass from the one to the other: MikroORM then updates one of them twice.
  const hasVersion = (name: Name) => itemsWithOtherCodes(program).size < 2 || kindOf(name) !== 'item'
  return [
    ...run.observed.flatMap((observation, index) => compareObservations(observation, observed[index], hasVersion)),
    ...compareRows('in the database', named(run.rows), named(rows), hasVersion)
  ]
}

function isLockTimeout (observation: Observation): boolean {
  return 'caught' in observation && LOCK_TIMEOUT.test(observation.message)
}

type HasVersion = (name: Name) => boolean

function compareObservations (seen: Observation, other: Observation | undefined, hasVersion: HasVersion): string[] {
  if ('found' in seen) return isDeepStrictEqual(seen, other) ? [] : [`a query has ${JSON.stringify(seen)}; with SQLAlchemy ${JSON.stringify(other)}`]
  if (other === undefined || !('caught' in other) || seen.caught !== other.caught) return [`caught: ${seen.caught}; with SQLAlchemy ${JSON.stringify(other)}`]
  return other.shown === null || seen.shown === null ? [] : compareRows('shown after an error was caught', seen.shown, other.shown, hasVersion)
}

/** Of what MikroORM has not loaded it shows nothing; SQLAlchemy loads it. */
function compareRows (where: string, rows: readonly NamedRow[], others: readonly NamedRow[], hasVersion: HasVersion): string[] {
  const names = (list: readonly NamedRow[]) => list.map(({ name }) => name).sort()
  if (!isDeepStrictEqual(names(rows), names(others))) return [`${where}: ${names(rows).join(', ')}; with SQLAlchemy ${names(others).join(', ')}`]
  return rows.flatMap(row => {
    const other = others.find(({ name }) => name === row.name) as NamedRow
    return Object.keys(row)
      .filter(property => property !== 'version' || hasVersion(row.name))
      .filter(property => row[property as keyof NamedRow] !== undefined && !isDeepStrictEqual(row[property as keyof NamedRow], other[property as keyof NamedRow]))
      .map(property => `${where}: ${property} of ${row.name} is ${JSON.stringify(row[property as keyof NamedRow])}; with SQLAlchemy ${JSON.stringify(other[property as keyof NamedRow])}`)
  })
}
