/** Statements that end the transaction behind the back of its scope, and reads that write. */
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

/** By database: what ends the transaction of a request. */
const ENDING: Record<'sqlite' | 'mysql', string[]> = {
  sqlite: ['commit', 'rollback', '/* x */ Commit', '-- x\n rollback', 'end', 'end transaction'],
  mysql: [
    'commit', 'rollback', 'begin', 'start transaction', '/* x */ Commit', '# x\n rollback work', 'set autocommit = 1', 'set session autocommit = 1',
    'create table if not exists other (id int)', 'create or replace view v as select 1', 'alter table item comment = "x"', 'analyze table item',
    'drop table if exists nothing', 'truncate table part', 'lock tables item write', 'flush tables'
  ]
}

onEachDatabase('nothing that comes after a statement which ends the transaction is committed by itself', automatic, async (t, { app, kind, database, labels }) => {
  app.post<{ Querystring: { sql: string } }>('/throws', async request => {
    await request.db.execute(request.query.sql)
    await request.db.insert(Item, { label: 'after', amount: 0 })
    throw new Error('no')
  })
  app.post<{ Querystring: { sql: string } }>('/catches', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await request.db.execute(request.query.sql).catch(() => {})
    await request.db.insert(Item, { label: 'after', amount: 0 }).catch(() => {})
    return 'ok'
  })
  for (const sql of ENDING[kind]) {
    t.match((await app.inject({ method: 'POST', url: '/throws', query: { sql } })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' }, sql)
    t.same(await labels(), [], sql)
    t.match((await app.inject({ method: 'POST', url: '/catches', query: { sql } })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' }, `${sql}, caught`)
    t.notOk((await labels()).includes('after'), `${sql}, caught`)
    // What the database has committed by itself is there.
    await database.witness.em.fork().nativeDelete(Item, {})
  }
})

onEachDatabase('a savepoint, and a rollback to it, end nothing', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await request.db.execute('savepoint mine')
    await request.db.insert(Item, { label: 'b', amount: 0 })
    await request.db.execute('rollback to mine')
    await request.db.insert(Item, { label: 'c', amount: 0 })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['a', 'c'])
})

onEachDatabase('DDL is part of the transaction where the database says so', { ...automatic, kinds: ['sqlite'] }, async (t, { app, database, labels }) => {
  app.post<{ Querystring: { status: number } }>('/', async (request, reply) => {
    await request.db.execute('create table other (id int)')
    await request.db.insert(Item, { label: String(request.query.status), amount: 0 })
    return reply.code(Number(request.query.status)).send()
  })
  const tables = async () => (await database.witness.em.fork().execute<{ name: string }[]>("select name from sqlite_master where name = 'other'")).length
  t.equal((await app.inject({ method: 'POST', url: '/', query: { status: '409' } })).statusCode, 409)
  t.equal(await tables(), 0)
  t.equal((await app.inject({ method: 'POST', url: '/', query: { status: '200' } })).statusCode, 200)
  t.equal(await tables(), 1)
  t.same(await labels(), ['200'])
})

onEachDatabase('a function that writes is part of the unit of work', { ...automatic, kinds: ['mysql'] }, async (t, { app, database, labels }) => {
  await database.witness.em.fork().execute(`create function writes(what varchar(20)) returns int modifies sql data
    begin insert into item (label, amount) values (what, 0); return 1; end`)
  for (const call of ['writes(?)', '`writes`(?)', 'writes (?)']) {
    app.get(`/throws/${encodeURIComponent(call)}`, async request => {
      await request.db.execute(`select ${call}`, ['lost'])
      throw new Error('no')
    })
    app.get(`/read-only/${encodeURIComponent(call)}`, { config: { db: { readOnly: true } } }, async request => {
      await request.db.execute(`select ${call}`, ['refused'])
      return 'ok'
    })
    app.get(`/kept/${encodeURIComponent(call)}`, async request => {
      await request.db.execute(`select ${call}`, [`kept by ${call}`.slice(0, 20)])
      return 'ok'
    })
  }
  for (const call of ['writes(?)', '`writes`(?)', 'writes (?)']) {
    const url = encodeURIComponent(encodeURIComponent(call))
    t.equal((await app.inject(`/throws/${url}`)).statusCode, 500, call)
    t.equal((await app.inject(`/read-only/${url}`)).statusCode, 500, call)
    t.same(await labels(), [], call)
    t.equal((await app.inject(`/kept/${url}`)).statusCode, 200, call)
    t.same(await labels(), [`kept by ${call}`.slice(0, 20)], call)
    await database.witness.em.fork().nativeDelete(Item, {})
  }
})

onEachDatabase('a raw COMMIT of db.run() fails loudly', automatic, async (t, { app, labels }) => {
  await t.rejects(app.db.run(async session => {
    await session.insert(Item, { label: 'before', amount: 0 })
    await session.execute('rollback')
  }), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', message: /a statement has ended its transaction/ })
  t.same(await labels(), [])
})
