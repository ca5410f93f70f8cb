import { isDeepStrictEqual } from 'node:util'
import type { Entity } from './entities.ts'
import type { Name } from './program.ts'
import type { Row, Rows } from './rows.ts'
import { shown } from './shown.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/**
 * After a commit: what the session shows is what the database has, and the rest is as it was.
 * @param before what was committed before
 */
export function afterCommit (unit: UnitOfWork, before: Rows, after: Rows): string[] {
  return [...twice(after), ...namesOf(unit.names, before, after).flatMap(name => judge(name, unit, before.byName.get(name), after.byName.get(name)))]
}

function judge (name: Name, unit: UnitOfWork, before: Row | undefined, after: Row | undefined): string[] {
  switch (unit.status(name)) {
    case 'live': return compare(`${name}, which the session shows`, shown(unit.find(name) as Entity), after)
    case 'removed': return after === undefined ? [] : [`${name} was removed, and is in the database`]
    case 'unknown': return []
    case undefined: return compare(`${name}, which the session does not have`, withoutParts(before), after)
  }
}

/** What was in the session before a commit that others ran beside, and is still there: the least that can be told. */
export function isThere (least: readonly Name[], unit: UnitOfWork, after: Rows): string[] {
  return least.filter(name => unit.find(name) !== undefined && !after.byName.has(name)).map(name => `${name} was in the session before the commit, and is not in the database`)
}

/** Nothing was to be written. */
export function unchanged (why: string, before: Rows, after: Rows): string[] {
  return [...twice(after), ...namesOf([], before, after).flatMap(name => compare(`${name}, ${why}`, before.byName.get(name), after.byName.get(name)))]
}

/** What the client was told of entities is what the database has of them. */
export function answeredAs (answered: readonly Row[], after: Rows): string[] {
  return answered.flatMap(row => compare(`${row.name}, as it was answered`, row, after.byName.get(row.name)))
}

function namesOf (more: readonly Name[], ...rows: readonly Rows[]): Name[] {
  return Array.from(new Set([...more, ...rows.flatMap(({ byName }) => Array.from(byName.keys()))]))
}

function twice ({ twice }: Rows): string[] {
  return twice.map(name => `${name} is in the database twice`)
}

/** What parts an item has, their own rows say. */
function withoutParts (row: Row | undefined): Row | undefined {
  if (row === undefined) return undefined
  const { parts: _, ...rest } = row
  return rest
}

function compare (what: string, wanted: Row | undefined, row: Row | undefined): string[] {
  if (wanted === undefined) return row === undefined ? [] : [`${what}, is in the database: ${JSON.stringify(row)}`]
  if (row === undefined) return [`${what}, is not in the database: ${JSON.stringify(wanted)}`]
  return Object.entries(wanted)
    .filter(([property, value]) => !isDeepStrictEqual(value, row[property as keyof Row]))
    .map(([property, value]) => `${what}, differs: ${property} is ${JSON.stringify(value)}, in the database ${JSON.stringify(row[property as keyof Row])}`)
}
