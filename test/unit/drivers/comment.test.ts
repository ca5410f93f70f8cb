import fc from 'fast-check'
import t from 'tap'
import { sqlComment, withComment } from '../../../lib/drivers/sql/comment.ts'

/** As readers of sqlcommenter take it apart. */
function parse (comment: string): Record<string, string> {
  const pairs = comment.slice(2, -2).split(',').map(pair => pair.split('='))
  return Object.fromEntries(pairs.map(([name = '', value = '']) => [name, decodeURIComponent(value.slice(1, -1))]))
}

void t.test('in the format of sqlcommenter: sorted, encoded, quoted', async t => {
  t.equal(sqlComment({ route: '/users/:id', method: 'GET', request_id: undefined }), "/*method='GET',route='%2Fusers%2F%3Aid'*/")
  t.equal(sqlComment({ route: undefined }), undefined)
})

void t.test('whatever a value holds, the comment is one, and says what it was given', async t => {
  const strange = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constantFrom('*/ drop table item; --', "'", "\\'", '/*', '?', '$1', ':name', '@p1', '\0', '\n', '\ud800', '🙂'))
  fc.assert(fc.property(strange, strange, (route, method) => {
    const comment = sqlComment({ route, method }) ?? ''
    t.match(comment, /^\/\*method='[\w%.~-]*',route='[\w%.~-]*'\*\/$/)
    t.same(parse(comment), { route: route.toWellFormed(), method: method.toWellFormed() })
  }), { numRuns: 300 })
  t.equal(parse(sqlComment({ route: 'a'.repeat(10_000) }) ?? '')['route']?.length, 256)
})

void t.test('it goes to the end of the statement, which ends as it did', async t => {
  for (const [sql, tagged] of [
    ['select 1', 'select 1 /*a*/'],
    ['select 1 ;\n', 'select 1  /*a*/;'],
    ['update a set b = 1; update a set b = 2', 'update a set b = 1; update a set b = 2 /*a*/']
  ] as const) t.equal(withComment(sql, '/*a*/'), tagged)
})

void t.test('what has a comment of its own stays as it is, and what begins and ends transactions', async t => {
  for (const sql of ['select /* mine */ 1', 'select 1 -- mine', 'begin', 'START TRANSACTION', 'commit', 'rollback to savepoint a', 'savepoint a']) t.equal(withComment(sql, '/*a*/'), sql)
})

void t.test('what only looks like a comment is a value, or a name', async t => {
  for (const sql of ["select '--'", "select 'a -- b', '/* c'", "select '-' '-'", "select 'it''s -- c'", 'select "--" from `/*`', 'select \'"\', \'-- "\'', "select 'a\\b -- c'"]) {
    t.equal(withComment(sql, '/*a*/'), `${sql} /*a*/`)
  }
})

void t.test('in doubt it is one: where a backslash, a dollar or a hash may have a quote mean something else, and where a literal does not end', async t => {
  for (const sql of [
    "select '\\'' -- ', 1", "select E'it\\'s', '--'", "select '\\\\', '--'", 'select "\\"--"', "select $$it's$$ /* mine */, '$$'", "select $a$it's$a$ -- ', 1", "select 1 # it's\n -- '",
    "select 1 -- it's '", "select /* ' */ 1 -- '", "select '--", "select 1 /* '", "select 'a', '/*"
  ]) t.equal(withComment(sql, '/*a*/'), sql)
})
