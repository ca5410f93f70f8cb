/** BEGIN travels with the first statement, where the driver says that this is safe: nothing else may be different, whatever the statement is. */
import fc from 'fast-check'
import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { openSide, type Side } from '../support/begin-with.ts'
import { availableKinds, servers } from '../support/databases.ts'
import { isMeant } from '../support/drivers.ts'

type Server = 'mysql' | 'postgresql'

const GENERATED = { thing: 'id', keyed: null, log: 'id', value: 'id', numbered: 'id' }

const SET_UP: Record<Server, string[]> = {
  mysql: [
    'create table thing (id int auto_increment primary key, name varchar(40) unique, amount int not null default 0, check (amount >= 0)) auto_increment = 100',
    'create table keyed (id varchar(40) primary key, thing int, foreign key (thing) references thing (id))',
    'create table log (id int auto_increment primary key, what varchar(40)) auto_increment = 5000',
    'create table value (id bigint unsigned auto_increment primary key, text_ text, json_ json, bin_ blob, date_ datetime(6), day_ date, decimal_ decimal(30, 10), big_ bigint, double_ double, bool_ tinyint(1), enum_ enum(\'a\', \'b\'), bit_ bit(10), year_ year, time_ time(3)) default charset utf8mb4',
    'create trigger logged after insert on thing for each row insert into log (what) values (new.name)',
    "create trigger refused before update on thing for each row if new.amount = 13 then signal sqlstate '45000' set message_text = 'no; luck'; end if",
    'create table numbered (id int auto_increment primary key, what varchar(40))',
    'create trigger numbers before insert on numbered for each row set new.id = 500',
    "insert into thing (id, name, amount) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
    "insert into keyed values ('k', 1)"
  ],
  postgresql: [
    'create table thing (id serial primary key, name varchar(40) unique, amount int not null default 0, check (amount >= 0))',
    'alter sequence thing_id_seq restart 100',
    'create table keyed (id varchar(40) primary key, thing int references thing (id))',
    'create table log (id serial primary key, what varchar(40))',
    'create table numbered (id serial primary key, what varchar(40))',
    'create table value (id bigserial primary key, text_ text, json_ jsonb, bin_ bytea, date_ timestamptz(6), day_ date, decimal_ numeric(30, 10), big_ bigint, double_ double precision, bool_ boolean, list_ text[])',
    'create function logged() returns trigger language plpgsql as $$ begin insert into log (what) values (new.name); return new; end $$',
    'create trigger logged after insert on thing for each row execute function logged()',
    "create function refused() returns trigger language plpgsql as $$ begin if new.amount = 13 then raise exception 'no; luck'; end if; return new; end $$",
    'create trigger refused before update on thing for each row execute function refused()',
    "insert into thing (id, name, amount) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
    "insert into keyed values ('k', 1)"
  ]
}

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

const INSERT = "insert into thing (name) values ('new')"

/** Those that are sent together on both; on MariaDB; on PostgreSQL; on none. */
const BOTH = [
  INSERT,
  "insert into thing (name, amount) values ('a', 1), ('b', 2), ('c', 3)",
  "insert into thing (name) values ('one')",
  "insert into thing (name) values ('a'), ('one')",
  "insert into thing (name, amount) values ('x', -1)",
  "insert into thing (name, amount) values ('x', null)",
  "insert into thing (name) values ('much too long, as it has more than forty characters')",
  "insert into thing (name, amount) values ('x', 99999999999)",
  "insert into thing (nothing) values ('x')",
  "insert into keyed (id) values ('l'), ('m')",
  "insert into keyed (id, thing) values ('l', 99)",
  "insert into keyed (id) values ('k')",
  "insert into thing (name) values ('commit; -- # /* ')",
  'insert into thing (name) values (',
  "insert into thing (name) values ('",
  "INSERT\ninto thing (name)\n values ('a''b')",
  'update thing set amount = 5 where id = 99',
  'update thing set amount = 13',
  'update thing set amount = -1',
  'update thing set id = 2 where id = 1',
  'delete from log',
  "delete from keyed where id = 'k'",
  'delete from thing where id = 3',
  'delete from thing',
  'select * from thing order by id',
  'select * from thing where id = 2 for update',
  'select * from thing where id = 99',
  'select 1 as a, 2 as b, 3 as a',
  "select ';' as a, '--' as b, '#' as c, '/*' as d, '*/' as e",
  'select count(*) as n, max(name) as name, sum(amount) as sum, avg(amount) as avg from thing',
  'with a as (select 1 as n) select * from a',
  'select * from nowhere',
  'select nothing from thing',
  'select nothing(1)',
  'select from from thing',
  'select (select id from thing) as one'
]
const ON: Record<Server, string[]> = {
  mysql: [
    'insert into `thing` (`name`) values (\'new\')',
    'insert into `thing` () values ()',
    'update thing set amount = 7',
    'update thing set name = concat(name, amount), amount = 2 where amount >= 2',
    'update thing t join keyed k on k.thing = t.id set t.amount = 9',
    'delete t from thing t where t.id = 2',
    'delete from thing where id = 3 returning id, name',
    'select 1 into @a',
    'select 1 into nothing',
    'select @@nothing',
    'select @@tx_isolation',
    'select lower(1, 2)',
    'select 1 union select 2 order by nothing',
    'select * from (select 1)',
    "select 1 from thing where json_extract('{', '$') is null",
    'select cast(\'x\' as int) as x, 1/0 as y',
    'select * from thing lock in share mode',
    'select 1 as a limit 0',
    'select \'\\\'\' as a'
  ],
  postgresql: [
    "insert into thing (name) values ('new') returning *",
    "insert into thing (id, name) values (77, 'new') returning id",
    "insert into thing (name) values ('one') on conflict do nothing",
    "insert into thing (name) values ('one') on conflict (name) do update set amount = 8 returning id, amount",
    'insert into thing (name) select \'copy\' || id from thing',
    'insert into thing default values',
    'update thing set amount = 7',
    'update thing set amount = 7 returning *',
    'delete from thing where id = 3 returning id, name',
    "with a as (insert into thing (name) values ('new') returning id) select id is null as x from a",
    'select 1/0',
    'select * from thing for share',
    "select array[1, 2] as list, '{\"a\": 1}'::jsonb as json, 1::bigint as big, 1.50::numeric as n, null as none, true as yes, '\\xff00'::bytea as bin",
    "select '2020-02-30'::date",
    "select E'a\\'b' as a",
    'select $1',
    'select current_setting(\'transaction_isolation\') as level, current_setting(\'transaction_read_only\') as ro'
  ]
}
const APART: Record<Server, string[]> = {
  mysql: [
    "insert into thing (id, name) values (77, 'new')",
    "insert into thing (`ID`, name) values (null, 'new')",
    "insert into thing values (77, 'new', 1)",
    "insert into thing (name) values ('one') on duplicate key update amount = 8",
    "insert into thing (name) values ('new') returning id",
    "insert ignore into thing (name) values ('one')",
    "insert into thing (name) select concat(name, 'copy') from thing",
    'insert into nowhere (name) values (1)',
    "insert into numbered (what) values ('by a trigger')",
    "replace into thing (name) values ('one')",
    'update thing set amount = last_insert_id(55)',
    'select last_insert_id() as id',
    'show grants',
    'set @a = 1',
    'select 1 as a -- a comment',
    'select 1 as a # a comment',
    'select 1 /*! as a */',
    "select 'a\\' as a; select 1 as b, '"
  ],
  postgresql: [
    'show server_version_num',
    'select 1 as a -- a comment',
    'select $$;$$ as a',
    'values (1)'
  ]
}

const begins: Record<Server, readonly (readonly string[])[]> = {
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
  for (const begin of begins[kind]) {
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
  }), { numRuns: Number(process.env['RUNS'] ?? 150) })
  t.comment(JSON.stringify(counts))
  t.same(await other.committed(), before, 'nothing is committed')
  t.same(await one.committed(), before)
  if (combines(other)) t.ok(Math.min(...Object.values(counts)) > 0, `of each some: ${JSON.stringify(counts)}`)
}, { mysql: ["set sql_mode = 'no_backslash_escapes'", "set sql_mode = 'ansi_quotes'"], postgresql: ['set standard_conforming_strings = off'] })
