/** BEGIN travels with the first statement, where the driver says that this is safe: nothing else may be different, whatever the statement is. */
import fc from 'fast-check'
import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { openSide, type Side } from '../support/begin-with.ts'
import { availableKinds, servers } from '../support/databases.ts'
import { isMeant } from '../support/drivers.ts'
import { APART, BOTH, GENERATED, INSERT, ON, SET_UP, type Server } from '../support/first-statements.ts'

/** With tables of its own on each side. */
function onEachServer (name: string, test: (t: Test, one: Side, other: Side, kind: Server) => Promise<void>, settings: Partial<Record<Server, string[]>> = {}): void {
  for (const kind of servers.filter(kind => availableKinds().includes(kind) && isMeant(kind, servers)) as Server[]) {
    for (const setting of [undefined, ...settings[kind] ?? []]) {
      void t.test(`${name} [${[kind, setting ?? []].flat().join(', ')}]`, { timeout: 120_000 }, async t => {
        const open = () => openSide(t, kind, { setUp: SET_UP[kind], generated: GENERATED, setting })
        await test(t, await open(), await open(), kind)
      })
    }
  }
}

/** What a server of this kind can be sent together. MySQL has no compound statements. */
const combines = ({ version }: Side) => version === undefined || version.includes('MariaDB')

const BEGINS: Record<Server, readonly (readonly string[])[]> = {
  mysql: [['begin'], ['set transaction isolation level serializable', 'begin'], ['set transaction isolation level read committed, read only', 'begin'], ['set transaction read only', 'begin']],
  postgresql: [['begin'], ['start transaction isolation level serializable'], ['start transaction isolation level read committed read only'], ['start transaction read only']]
}

// But for how many of the rows that an UPDATE has found it has changed, which nobody says.
onEachServer('each statement answers as it does alone', async (t, one, other, kind) => {
  const before = await one.committed()
  t.same(await other.committed(), before)
  for (const [isTogether, statements] of [[combines(other), [...BOTH, ...ON[kind]]], [false, APART[kind]]] as const) {
    for (const sql of statements) {
      const { isCombined, ...together } = await other.together(sql)
      const { isCombined: _, ...apart } = await one.apart(sql)
      const { numChangedRows, ...known } = apart.result ?? { rows: [] }
      t.strictSame(together, isCombined && /^update/.test(sql) && apart.result !== undefined ? { ...apart, result: known } : apart, sql)
      // What begins nothing is sent again, apart.
      if (apart.error === undefined || !isTogether) t.equal(isCombined, isTogether, `${sql}: ${isTogether ? 'together' : 'apart'}`)
    }
  }
  t.same(await other.committed(), before, 'nothing is committed')
  t.same(await one.committed(), before)
})

onEachServer('each way to begin is what it is alone', async (t, one, other, kind) => {
  for (const begin of BEGINS[kind]) {
    for (const sql of [INSERT, 'select * from thing']) {
      const { isCombined, ...together } = await other.together(sql, begin)
      const { isCombined: _, ...apart } = await one.apart(sql, begin)
      t.strictSame(together, apart, `${begin.join()}: ${sql}`)
      t.equal(isCombined, combines(other))
    }
    // It is that of this transaction alone.
    for (const side of [one, other]) t.match(await side.together(INSERT), { result: { numAffectedRows: 1n } })
  }
  await other.use(async connection => {
    for (const begin of [[], ['start'], ['set autocommit = 0', 'begin'], ['begin', 'commit']]) if (kind === 'mysql') t.equal(other.beginWith(connection, INSERT, begin), undefined)
  })
})

/** As MikroORM puts values into a text. */
const format = ({ orm }: Side, sql: string, values: unknown[]) => orm.driver.getPlatform().formatQuery(sql, values)

const VALUES: Record<Server, [type: string, fc.Arbitrary<unknown>][]> = (() => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ unit: fc.constantFrom(..."'\"`\\;-#/*!%?$\n\0e\u2028😀") }),
    fc.constantFrom('', "it's", "'; commit; --", '\\', "\\'", '/* */ # --', '$$;$$', ':a ?', 'returning', 'on duplicate', '\u0000', '\ud83d\ude00', 'last_insert_id()'))
  const json = fc.jsonValue({ maxDepth: 2, stringUnit: 'grapheme' }).map(value => JSON.stringify(value))
  const binary = fc.uint8Array({ maxLength: 20 }).map(bytes => Buffer.from(bytes))
  const date = fc.date({ min: new Date('1970-01-02'), max: new Date('2037-01-01'), noInvalidDate: true })
  const day = date.map(date => date.toISOString().slice(0, 10))
  const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }), fc.nat({ max: 999_999 })).map(([whole, part]) => `${whole}.${part}`)
  const big = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  const common: [string, fc.Arbitrary<unknown>][] = [['text_', text], ['json_', json], ['bin_', binary], ['date_', date], ['day_', day], ['decimal_', decimal], ['big_', big], ['double_', fc.double({ noNaN: true, noDefaultInfinity: true })], ['bool_', fc.boolean()]]
  const noNul = (columns: [string, fc.Arbitrary<unknown>][]) => columns.map(([name, values]) => [name, values.filter(value => typeof value !== 'string' || !/\0|\\u0000/.test(value))] as [string, fc.Arbitrary<unknown>])
  return {
    mysql: [...common, ['enum_', fc.constantFrom('a', 'b', 'c')], ['bit_', fc.nat({ max: 1100 })], ['year_', fc.integer({ min: 1899, max: 2156 })], ['time_', fc.constantFrom('00:00:00', '-838:59:59', '12:34:56.789')]],
    postgresql: [...noNul(common), ['list_', fc.constantFrom('{}', '{a,b}', '{"a;b",null}')]]
  }
})()

onEachServer('each value is written and read as it is alone', async (t, one, other, kind) => {
  const columns = VALUES[kind]
  const names = columns.map(([name]) => name)
  const row = fc.tuple(...columns.map(([, values]) => fc.option(values, { freq: 10 })))
  let combined = 0
  await fc.assert(fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 3 }), async rows => {
    const insert = format(one, `insert into value (${names.join(', ')}) values ${rows.map(() => `(${names.map(() => '?').join(', ')})`).join(', ')}`, rows.flat())
    const written = await other.together(insert)
    assert.deepEqual({ ...written, isCombined: false }, await one.apart(insert))
    // What is committed is read by a first statement, too.
    for (const side of [one, other]) {
      await side.database.witness.driver.execute('delete from value')
      if (written.error === undefined) await side.database.witness.driver.execute(insert)
    }
    for (const select of ['select * from value order by id', format(one, 'select id, ? as a, ? as b from value where text_ = ? or id > 0 for update', [rows[0]?.[0], rows[0]?.[5], rows[0]?.[0]])]) {
      const read = await other.together(select)
      assert.deepEqual({ ...read, isCombined: false }, await one.apart(select))
      if (read.isCombined) combined++
    }
    if (written.isCombined) combined++
  }), { numRuns: 60 })
  t.equal(combined > 60, combines(other), `${combined} were sent together`)
})

/** What ends a text, a literal or a comment, or hides that it does. */
const TRICKS = fc.array(fc.constantFrom(
  "'", '"', '`', '\\', ';', '--', '-- ', '#', '/*', '*/', '/*!', '/*!99999 ', '/*M!', '\n', '\r', '\0', ' ', '$$', '$a$', '$é$', " E'", " U&'", " b'", '(', ')', ',', "''", '""', '?', ':a', '\u2028', '%', '\u00a5', '1',
  ' commit', ' end', ' end;', ' begin ', ' rollback', 'delimiter //', '//', '\\g', ' union select 1', ' returning id', " insert into log (what) values ('stray')", ' or 1', ' into @a', ' for update', ' limit 1', ' if ', ' loop ', ' else ', ' declare a int', ' return 1', ' leave a', ' then '
), { maxLength: 9 }).map(parts => parts.join(''))

onEachServer('whatever the text is, it is refused, or answers as it does alone, and commits nothing', async (t, one, other) => {
  const before = await other.committed()
  const text = fc.tuple(fc.constantFrom("insert into thing (name) values ('", "insert into thing (name) values ('a')", 'select 1 as a', "select 'a", 'delete from log', 'update thing set amount = amount + 1 ', "update thing set name = '", 'with '), TRICKS, fc.constantFrom('', "')", "'", '"', '\n')).map(parts => parts.join(''))
  const counts = { refused: 0, carriedOut: 0, failed: 0, notBegun: 0 }
  await fc.assert(fc.asyncProperty(text, async sql => {
    if (await other.use(async connection => other.beginWith(connection, sql)) === undefined) { counts.refused++; return }
    const { isCombined, ...together } = await other.together(sql)
    const { isCombined: _, ...apart } = await one.apart(sql)
    const { numChangedRows, ...known } = apart.result ?? { rows: [] }
    assert.deepEqual(together, isCombined && sql.startsWith('update') && apart.result !== undefined ? { ...apart, result: known } : apart)
    if (!isCombined) counts.notBegun++
    else counts[together.error === undefined ? 'carriedOut' : 'failed']++
  }), { numRuns: Number(process.env['RUNS'] ?? 150), examples: ['select 1; select 2', 'select 1', 'select (select 1 union select 2)', 'select 1 as'].map(sql => [sql]) })
  t.comment(JSON.stringify(counts))
  t.same(await other.committed(), before, 'nothing is committed')
  t.same(await one.committed(), before)
  if (combines(other)) t.ok(Math.min(...Object.values(counts)) > 0, `of each some: ${JSON.stringify(counts)}`)
}, { mysql: ["set sql_mode = 'no_backslash_escapes'", "set sql_mode = 'ansi_quotes'"], postgresql: ['set standard_conforming_strings = off'] })
