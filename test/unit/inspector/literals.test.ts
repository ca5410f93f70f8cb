import t from 'tap'
import { literalsOf, withLiterals } from '../../../lib/inspector/literals.ts'

const quote = (value: unknown) => typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : value

void t.test('literals stand where their parameters belong', async t => {
  for (const [sql, literals, expected] of [
    ['select 1', [], 'select 1'],
    ['select * from a where b = ? and c = ?', ['1', "'?'"], "select * from a where b = 1 and c = '?'"],
    ['select * from a where b = $2 and c = $1', ['1', '2'], 'select * from a where b = 2 and c = 1'],
    ['select * from a where b = $1 and c ? \'d\'', ['1'], "select * from a where b = 1 and c ? 'd'"],
    ['select * from a where b = $1 and c = $1', ["'$1'"], "select * from a where b = '$1' and c = '$1'"],
    ['select * from a where b = @1', ["'c'"], "select * from a where b = 'c'"],
    ['select \'?\', "?", `?`, ? /* ? */ -- ?', ['1'], 'select \'?\', "?", `?`, 1 /* ? */ -- ?'],
    ['select $$?$$, $a$ ? $$ $a$, ?', ['1'], 'select $$?$$, $a$ ? $$ $a$, 1'],
    ['select b \\? \'c\' from a where d = ?', ['1'], "select b ? 'c' from a where d = 1"]
  ] as const) t.equal(withLiterals(sql, literals), expected, sql)
})

void t.test('where that is not certain there is nothing to run', async t => {
  for (const [sql, literals] of [
    ['select ?', ['1', '2']],
    ['select ?, ?', ['1']],
    ['select $2', ['1']],
    ['select * from ??', ['a']],
    ['select \'\\\'\', ?', ['1']]
  ] as const) t.equal(withLiterals(sql, literals), undefined, sql)
})

void t.test('parameters are written as the database does', async t => {
  t.same(literalsOf(['a', "it's", 7, null], quote), ["'a'", "'it''s'", '7', 'null'])
  t.same(literalsOf([], quote), [])
})

void t.test('what is too large, or cannot be written, is not kept', async t => {
  t.equal(literalsOf([1, 'a'.repeat(10_001)], quote), undefined)
  t.equal(literalsOf([Buffer.alloc(10_001)], quote), undefined)
  t.equal(literalsOf([{ toJSON: 1 }], () => 'a'.repeat(20_011)), undefined)
  t.equal(literalsOf([1], () => { throw new Error('no') }), undefined)
})
