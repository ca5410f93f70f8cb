import fc from 'fast-check'
import t from 'tap'
import type { Meter } from '@opentelemetry/api'
import type { ConnectionMessage } from '../../../lib/diagnostics/messages.ts'
import { Metrics } from '../../../lib/opentelemetry/metrics.ts'
import { errorAttributes } from '../../../lib/opentelemetry/attributes.ts'
import { queryOf } from '../../../lib/opentelemetry/query.ts'
import { withoutValues } from '../../../lib/opentelemetry/query-text.ts'

const SYSTEMS = ['postgresql', 'mysql', 'sqlite', 'microsoft.sql_server']

void t.test('literals are replaced, names are not', async t => {
  for (const [sql, text] of [
    ["select * from t1 where a1 = 'it''s' and b = 1.5e3 and c = 0xFF and d = true", 'select * from t1 where a1 = ?? and b = ? and c = ? and d = ?'],
    ['select ?, $1, :name, @p1 from `t` limit 10', 'select ?, $1, :name, @p1 from `t` limit ?'],
    ["select 1 -- Ada's\n, 2 /* 'Bob' */", 'select ?  \n, ?'],
    ['', '']
  ] as const) {
    for (const system of SYSTEMS) t.equal(withoutValues(sql, system), text, `${system}: ${sql}`)
  }
})

void t.test('double quotes are those of names, or of literals', async t => {
  const sql = 'select "a1" from "b2"'
  t.same(SYSTEMS.map(system => withoutValues(sql, system)), [sql, 'select ? from ?', 'select ? from ?', sql])
})

void t.test('dollars are quotes of PostgreSQL', async t => {
  t.equal(withoutValues("select $$it's$$, $a$ $$ $a$", 'postgresql'), 'select ?, ?')
})

void t.test('in doubt there is no text', async t => {
  for (const sql of ["select 'C:\\', ' from secret '", "select 'secret", 'select $$secret']) {
    for (const system of SYSTEMS) t.same(queryOf(sql, system), { text: undefined, summary: 'select' }, `${system}: ${sql}`)
  }
})

void t.test('no literal comes through, whatever is in it', async t => {
  const value = fc.string().map(text => `secret${text}secret`)
  fc.assert(fc.property(value, value, fc.constantFrom(...SYSTEMS), (one, two, system) => {
    const quoted = [one, two].map(value => `'${value.replaceAll("'", "''")}'`)
    const { text = '', summary } = queryOf(`select ${quoted[0]} from t where a = ${quoted[1]} and b in (${quoted.join()})`, system)
    return !text.includes('secret') && !summary.includes('secret')
  }))
  t.pass()
})

void t.test('the summary', async t => {
  for (const [sql, summary] of [
    ['select `u0`.* from `user` as `u0` where `u0`.`id` = 1', 'select user'],
    ['insert into shipping_details (id) select id from orders where id = 5 for update', 'insert shipping_details select orders'],
    ['SELECT * FROM songs, artists a WHERE id IN (SELECT id, b FROM `T x`)', 'SELECT songs artists SELECT `T x`'],
    ['select order_date from (select * from orders o join customers c on true)', 'select select orders customers'],
    ['with x as (select 1 from a) update s . `user` set b = 2', 'select a update s.user'],
    ['delete from only t where a = true', 'delete t'],
    ['insert into `a` (`x`) values (1) on duplicate key update `x` = 3', 'insert a'],
    ["select extract(year from '2020-01-01') as y, z from t", 'select t'],
    ['create table if not exists foo (a int)', 'create foo'],
    ['set session x = 1', 'set'],
    ['rollback to savepoint trx1', 'rollback to'],
    ['start  transaction', 'start transaction'],
    ['(select 1 from a) union all (select 2 from b)', 'select a select b'],
    ['', 'mysql'],
    [`select * from ${Array.from({ length: 100 }, (_, n) => `table_${n}`).join(', ')}`, /^select table_0 .{200,247} table_2\d$/]
  ] as const) t.match(queryOf(sql, 'mysql').summary, summary, sql)
})

void t.test('a thousand texts are remembered, and then others', async t => {
  for (let n = 0; n < 2_100; n++) queryOf(`select a${n} from t`, 'sqlite')
  t.same(queryOf('select a0 from t', 'sqlite'), { text: 'select a0 from t', summary: 'select t' })
})

void t.test('where there is not even a word, the database stands in', async t => {
  t.same(queryOf("'secret", 'mysql'), { text: undefined, summary: 'mysql' })
})

void t.test('a text is remembered, and not for ever', async t => {
  const first = queryOf('select 1 from a', 'mysql')
  t.equal(queryOf('select 1 from a', 'mysql'), first)
  for (let n = 0; n <= 1_000; n++) queryOf(`select ${n} from b`, 'mysql')
  t.not(queryOf('select 1 from a', 'mysql'), first)
  t.same(queryOf('select 1 from a', 'mysql'), first)
})

void t.test('whatever is thrown has a type', async t => {
  t.same(errorAttributes(new TypeError('secret')), { 'error.type': 'TypeError' })
  t.same(errorAttributes('secret'), { 'error.type': '_OTHER' })
})

void t.test('who has waited before anybody counted is not counted', async t => {
  const counted: number[] = []
  const counter = () => ({ add: (value: number) => { counted.push(value) }, record: (value: number) => { counted.push(value) } })
  const metrics = new Metrics({ createHistogram: counter, createUpDownCounter: counter, createCounter: counter } as unknown as Meter)
  const message = { database: 'default' } as ConnectionMessage
  metrics.waitEnded(message)
  t.same(counted, [])
  metrics.connectionAwaited(message)
  metrics.waitEnded(message)
  t.not(counted.length, 0)
})

void t.test('a text is remembered, unless it is long', async t => {
  const short = 'select * from t1'
  const long = `select ${'a, '.repeat(5_000)} from t1`
  t.equal(queryOf(short, 'mysql'), queryOf(short, 'mysql'))
  t.not(queryOf(long, 'mysql'), queryOf(long, 'mysql'))
  t.same(queryOf(long, 'mysql'), queryOf(long, 'mysql'))
})
