import { DatabaseFailure } from './failure.ts'
import type { Result } from './packets.ts'
import type { Row, Store, Value } from './store.ts'
import type { Transaction } from './transaction.ts'

const COLUMNS: Record<string, readonly string[]> = {
  entry: ['id', 'token', 'part', 'counter', 'mark', 'note'],
  counter: ['id', 'value']
}

const LITERAL = /'(?:[^'\\]|\\.|'')*'|-?\d+|\bnull\b|\bdefault\b/gi

const INSERT = /^insert into `(\w+)` \(([^)]*)\) values (.+)$/is
const SELECT = /^select (.+?) from `(\w+)` as `(\w+)`(?: where (.+?))?(?: limit \d+)?( for update)?$/is
const UPDATE = /^update `(\w+)` set (.+?) where (.+)$/is

/**
 * The statements that the application of the simulation sends, no others.
 * @throws DatabaseFailure
 */
export async function carryOut (sql: string, transaction: Transaction, store: Store): Promise<Result> {
  let found: RegExpExecArray | null
  if ((found = INSERT.exec(sql)) !== null) return await insert(found as unknown as [string, string, string, string], transaction, store)
  if ((found = SELECT.exec(sql)) !== null) return await select(found as unknown as [string, string, string, string, string?, string?], transaction)
  if ((found = UPDATE.exec(sql)) !== null) return await update(found as unknown as [string, string, string, string], transaction)
  throw new Error(`the simulation knows no such statement: ${sql}`)
}

async function insert ([, table, names, tuples]: [string, string, string, string], transaction: Transaction, store: Store): Promise<Result> {
  const columns = names.split(',').map(name => name.replaceAll('`', '').trim())
  const values: readonly Value[] = valuesIn(tuples)
  // Those of one statement follow each other.
  const ids = columns.includes('id') ? undefined : Array.from({ length: values.length / columns.length }, () => store.nextId(table))
  let affected = 0
  for (let at = 0; at < values.length; at += columns.length) {
    const row: Record<string, Value> = Object.fromEntries((COLUMNS[table] as string[]).map(name => [name, null]))
    for (const [index, name] of columns.entries()) row[name] = values[at + index] ?? null
    const id = row['id'] ??= ids?.[affected] ?? store.nextId(table)
    await transaction.lock(table, id)
    if (transaction.get(table, id) !== undefined) throw duplicate(id, 'PRIMARY')
    const { mark } = row
    if (typeof mark === 'string') {
      await transaction.lock(`${table}.mark`, mark)
      if (transaction.all(table).some(other => other['mark'] === mark)) throw duplicate(mark, 'entry_mark_unique')
    }
    transaction.put(table, id, row)
    affected++
  }
  return { affected, ...ids?.[0] !== undefined && { insertId: ids[0] } }
}

async function select ([, what, table, , where, locks]: [string, string, string, string, string?, string?], transaction: Transaction): Promise<Result> {
  const matches = conditionOf(where)
  let rows: Row[] = transaction.all(table).filter(matches)
  if (locks !== undefined) {
    const ids = rows.map(row => String(row['id']))
    for (const id of ids) await transaction.lock(table, id)
    rows = ids.map(id => transaction.get(table, id) as Row)
  }
  if (/^count\(/i.test(what)) return { columns: ['count'], rows: [{ count: String(rows.length) }] }
  return { columns: COLUMNS[table] as string[], rows }
}

async function update ([, table, assignments, where]: [string, string, string, string], transaction: Transaction): Promise<Result> {
  const matches = conditionOf(where)
  const ids = transaction.all(table).filter(matches).map(row => String(row['id']))
  for (const id of ids) {
    await transaction.lock(table, id)
    const row = transaction.get(table, id) as Row
    transaction.put(table, id, { ...row, ...assigned(assignments, row) })
  }
  return { affected: ids.length }
}

const SUM = /^`?(\w+)`? \+ (\d+)$/
const CASE = /^case (when .+) else `\w+` end$/s
const WHEN = /when \((.+?)\) then (\S+)/g

/** What the one column becomes that is changed. */
function assigned (assignment: string, row: Row): Row {
  const [, name, value = ''] = /^`(\w+)` = (.+)$/s.exec(assignment) ?? []
  if (name === undefined) throw new Error(`the simulation knows no such assignment: ${assignment}`)
  const [, of, plus] = SUM.exec(value) ?? []
  if (of !== undefined) return { [name]: String(Number(row[of]) + Number(plus)) }
  const [, cases] = CASE.exec(value) ?? []
  if (cases === undefined) return { [name]: valueIn(value) }
  const found = [...cases.matchAll(WHEN)].find(([, condition]) => conditionOf(condition)(row))
  return found === undefined ? {} : { [name]: valueIn(found[2] ?? '') }
}

function conditionOf (where = ''): (row: Row) => boolean {
  const conditions = where === ''
    ? []
    : where.split(' and ').map(condition => {
      const [, name, values] = /^\(*(?:`\w+`\.)?`(\w+)` (?:=|in) (.+)$/is.exec(condition) ?? []
      if (name === undefined || values === undefined) throw new Error(`the simulation knows no such condition: ${condition}`)
      return { name, values: new Set(valuesIn(values)) }
    })
  return row => conditions.every(({ name, values }) => values.has(row[name] ?? null))
}

function valueIn (text: string): Value {
  const [value, ...more] = valuesIn(text)
  if (value === undefined || more.length > 0) throw new Error(`the simulation knows no such value: ${text}`)
  return value
}

function valuesIn (text: string): Value[] {
  return (text.match(LITERAL) ?? []).map(literal => {
    if (literal.startsWith("'")) return literal.slice(1, -1).replace(/\\(.)|''/gs, (_, escaped: string | undefined) => escaped ?? "'")
    return /^(?:null|default)$/i.test(literal) ? null : literal
  })
}

function duplicate (value: string, key: string): DatabaseFailure {
  return new DatabaseFailure(1062, '23000', `Duplicate entry '${value}' for key '${key}'`)
}
