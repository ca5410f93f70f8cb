/** What a statement changes about its connection, and who is next on it. */
import { sql } from 'kysely'
import { setTimeout } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import type { SqlORM } from '../support/databases.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const STATEMENTS = [
  "set session sql_mode = 'ANSI_QUOTES'", "set sql_mode = 'ANSI_QUOTES'", 'set session transaction read only', 'set names latin1', "select get_lock('a lock', 0)", "do get_lock('a lock', 0)",
  'create temporary table part (id int)', 'use mysql', 'set session autocommit = 0', 'lock tables item write', 'set role none',
  "/* x */ set session sql_mode = 'ANSI_QUOTES'", "-- x\nset sql_mode = 'ANSI_QUOTES'", "set /* x */ sql_mode = 'ANSI_QUOTES'", "set global slow_launch_time = 2, session sql_mode = 'ANSI_QUOTES'",
  "set @a = 1, `sql_mode` = 'ANSI_QUOTES'", 'execute immediate "set session sql_mode = \'ANSI_QUOTES\'"', "insert into item (label, amount) select 'a', get_lock('a lock', 0)",
  "insert into item (label, amount) values ('a', 0); set session sql_mode = 'ANSI_QUOTES'", 'begin', 'start transaction read only', "xa begin 'a'", 'flush tables item with read lock', 'backup lock item'
]

const connectionId = async () => (await db.session.execute<{ id: number }[]>('select connection_id() as id'))[0]?.id

async function isLocked (orm: SqlORM): Promise<boolean> {
  const [lock] = await orm.driver.execute<{ holder: number | null }[]>("select is_used_lock('a lock') as holder")
  return lock?.holder != null
}

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`a connection that a statement has changed does not go back to the pool (commitOnTeardown: ${commitOnTeardown})`, {
    kinds: ['mysql'], plugin: { commitOnTeardown, begin: 'statement' }, orm: { pool: { max: 1 }, multipleStatements: true }
  }, async (t, { app, database: { witness }, labels }) => {
    let statement = ''
    app.post('/', async () => {
      await db.session.execute(statement)
      return await connectionId()
    })
    app.post('/fails', async () => {
      await db.session.execute(statement)
      throw new Error('so it rolls back')
    })
    app.post('/given', async request => await request.db.getKysely().connection().execute(async connection => (await sql.raw(statement).execute(connection)).rows))
    app.post('/streamed', async request => {
      const kysely = request.db.getKysely()
      for await (const { rows } of kysely.getExecutor().stream(sql.raw(statement).compile(kysely), 1)) t.match(rows, Array)
    })
    app.post('/next', async request => {
      await request.db.insert(Item, { label: statement.slice(0, 40), amount: 0 })
      const [state] = await request.db.execute("select @@sql_mode like '%ANSI_QUOTES%' or @@tx_read_only or @@character_set_client = 'latin1' or is_used_lock('a lock') or database() = 'mysql' or not @@autocommit as changed, connection_id() as id")
      return state
    })
    const ids = new Set()
    for (const url of ['/', '/fails', '/given', '/streamed']) {
      for (statement of STATEMENTS) {
        await app.inject({ method: 'POST', url })
        // The server lets go of it when it has noticed that its connection is closed.
        while (await isLocked(witness)) await setTimeout(10)
        await app.db.run(async session => await session.nativeDelete(Item, {}))
        const response = await app.inject({ method: 'POST', url: '/next' })
        t.equal(response.statusCode, 200, statement)
        t.equal(response.json<{ changed: number | null }>().changed ?? 0, 0, statement)
        ids.add(response.json<{ id: number }>().id)
      }
    }
    t.equal(ids.size, 4 * STATEMENTS.length)
    statement = 'set @a = 1'
    const response = await app.inject({ method: 'POST', url: '/' })
    t.equal(response.statusCode, 200)
    t.equal((await app.inject({ method: 'POST', url: '/next' })).json<{ id: number }>().id, response.json(), 'a variable is harmless')
    t.equal((await labels()).length, 2)
  })
}
