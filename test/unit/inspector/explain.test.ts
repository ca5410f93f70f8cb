import t from 'tap'
import type { Database } from '../../../lib/application/database.ts'
import { isExplainable } from '../../../lib/inspector/explain.ts'

const statement = { database: 'default', sql: 'select 1', literals: [], kind: 'read', inTransaction: false, place: undefined, at: 0 } as const

class MssqlAdapter {}
class SqliteAdapter {}

const databaseOf = (connection: object) => ({ orm: { driver: { getConnection: () => connection } } }) as unknown as Database
const sqlDatabase = (adapter: object) => databaseOf({ initClient () {}, getClient: () => ({ getExecutor: () => ({ adapter }) }) })

void t.test('there is a plan only where a statement asks for it', async t => {
  t.equal(isExplainable(sqlDatabase(new SqliteAdapter()), statement), true)
  t.equal(isExplainable(sqlDatabase(new MssqlAdapter()), statement), false)
  t.equal(isExplainable(databaseOf({}), statement), false, 'a driver without SQL')
})

void t.test('and only of what does nothing but read, and is there as a whole', async t => {
  const database = sqlDatabase(new SqliteAdapter())
  const like = (changed: object) => isExplainable(database, { ...statement, ...changed })
  t.equal(like({ sql: 'with a as (select 1) select * from a' }), true)
  t.equal(like({ kind: 'doubtful' }), true, 'values have made it look so')
  for (const sql of ['select 1; delete from a', 'select f()', 'delete from a', 'with a as (delete from b returning *) select * from a', 'explain analyze delete from a', 'pragma x', 'select 1 for update', 'select * into b from a']) t.equal(like({ sql, kind: 'doubtful' }), false, sql)
  t.equal(like({ literals: undefined }), false)
  t.equal(like({ sql: 'select ?', literals: [] }), true, 'with no parameters a question mark is a question mark')
  t.equal(like({ sql: 'select ?', literals: ['1', '2'] }), false)
})
