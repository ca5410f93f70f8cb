/** Statements that end the transaction behind the back of its scope, and reads that write. */
import fc from 'fast-check'
import { sql, type Kysely } from 'kysely'
import type { Pool } from 'mysql2'
import { mayEndTransaction, statementKind } from '../../lib/drivers/sql/statements.ts'
import type { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import type { Kind } from '../support/databases.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

type Session = typeof db.session

const automatic = { plugin: { commitOnTeardown: true } }

/** By database: what ends the transaction of a request. */
const ENDING: Record<Kind, string[]> = {
  sqlite: ['commit', 'rollback', '/* x */ Commit', '-- x\n rollback', 'end', 'end transaction', ';commit'],
  postgresql: [
    'commit', 'rollback', 'abort', 'end', 'end work', '/* x */ Commit', '/* a /* b */ c */ commit', '-- x\n rollback', ';commit', 'commit and chain', 'rollback and chain',
    'select 1; commit', 'commit; begin', "select ';'; /* ; */ rollback", 'select $$;$$; commit', "select E'\\''; commit --'", "select '\\'; commit --'"
  ],
  mysql: [
    'commit', 'rollback', 'begin', 'start transaction', '/* x */ Commit', '# x\n rollback work', 'set autocommit = 1', 'set session autocommit = 1',
    'create table if not exists other (id int)', 'create or replace view v as select 1', 'alter table item comment = "x"', 'analyze table item',
    'drop table if exists nothing', 'truncate table part', 'lock tables item write', 'flush tables', '/*! commit */', 'commit and chain', 'execute immediate "commit"', 'begin not atomic commit; end'
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

onEachDatabase('a procedure may be told of autocommit', { ...automatic, kinds: ['mysql'] }, async (t, { app, database, labels }) => {
  await database.witness.driver.execute('create procedure note (text varchar(100)) insert into item (label, amount) values (text, 0)')
  app.post('/', async request => { await request.db.execute('call note(?)', ['please set the autocommit flag']) })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['please set the autocommit flag'])
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

onEachDatabase('a function that writes is part of the unit of work', { ...automatic, kinds: servers }, async (t, { app, kind, dialect, database, labels }) => {
  const quoted = (name: string) => kind === 'mysql' ? `\`${name}\`` : `"${name}"`
  // What is built into other databases, or a word of the grammar, may be a user's here.
  for (const name of ['writes', 'typeof', quoted('values')]) await database.witness.em.fork().execute(dialect.functionThatWrites(name))
  const [{ name: schema }] = await database.witness.em.fork().execute<[{ name: string }]>(dialect.schemaName)
  const calls = ['writes(?)', `${quoted('writes')}(?)`, 'writes (?)', 'typeof(?)', `${schema}.${kind === 'mysql' ? 'values' : quoted('values')}(?)`]
  for (const call of calls) {
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
  for (const call of calls) {
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

onEachDatabase('a procedure that ends the transaction', { ...automatic, kinds: ['mysql'] }, async (t, { app, database, labels, orm, assertClean }) => {
  const bodies = {
    commits: 'commit',
    rolls_back: 'rollback',
    begins: "begin insert into item (label, amount) values ('by the procedure', 0); rollback; start transaction; end",
    chains: 'rollback and chain',
    alters: 'truncate table part',
    fails: "begin rollback; signal sqlstate '45000' set message_text = 'no'; end",
    selects: 'begin select 1; rollback; select 2; end'
  }
  for (const [name, body] of Object.entries(bodies)) await database.witness.em.fork().execute(`create procedure ${name}() ${body}`)
  app.post<{ Params: { name: string } }>('/called/:name', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await request.db.execute(`call ${request.params.name}()`).catch(() => {})
    await request.db.insert(Item, { label: 'after', amount: 0 }).catch(() => {})
    return 'ok'
  })
  app.post<{ Params: { name: string } }>('/streamed/:name', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    const connection = orm.driver.getConnection()
    const rows = connection.stream(`call ${request.params.name}()`, [], request.db.getTransactionContext())
    await rows.next()
    await rows.return?.()
    return 'ok'
  })
  for (const url of Object.keys(bodies).flatMap(name => [`/called/${name}`, `/streamed/${name}`])) {
    const { statusCode } = await app.inject({ method: 'POST', url })
    t.equal(statusCode, 500, url)
    const left = await labels()
    t.notOk(left.includes('after'), url)
    t.notOk(left.includes('by the procedure'), url)
    await assertClean()
    await database.witness.em.fork().nativeDelete(Item, {})
  }
})

/** What looks like it may, and does not. */
const STAYING: Record<Kind, string[]> = {
  postgresql: [
    'create table if not exists other (id int)', 'truncate part', 'do $$ begin perform 1; end $$', '/* commit */ select 1', "update item set label = 'a' where label = 'commit; rollback'", 'lock table item', 'set local work_mem = 65536',
    'analyze item', 'select 1; select 2', "select $$commit$$; select ';commit'", 'savepoint other', 'alter table item alter column amount set default 1', 'listen x', 'explain select 1', 'comment on table item is null', 'begin'
  ],
  sqlite: ['pragma user_version', 'create temporary table if not exists other (id int)', '/* commit */ select 1', "update item set label = 'a' where label = 'commit; rollback'"],
  mysql: [
    'call inserts()', 'call selects()', 'set @a = 1', 'analyze select 1', 'create temporary table if not exists other (id int)', 'do 1', 'xa recover',
    'execute immediate "select 1"', '/* commit */ select 1', "update item set label = 'a' where label = 'it\\'s; commit'"
  ]
}

onEachDatabase('what could end the transaction, and does not, is part of it', automatic, async (t, { app, kind, database, labels }) => {
  if (kind === 'mysql') {
    await database.witness.em.fork().execute('create procedure inserts() insert into part (id, name, item_id) select 1, 1, 1 from (select 1) one where 1 = 0')
    await database.witness.em.fork().execute('create procedure selects() begin select 1; select 2; end')
  }
  app.post<{ Querystring: { sql: string, status: number } }>('/', async (request, reply) => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await request.db.execute('savepoint mine')
    await request.db.execute(request.query.sql)
    await request.db.execute('rollback to mine')
    await request.db.insert(Item, { label: 'after', amount: 0 })
    return await reply.code(Number(request.query.status)).send()
  })
  for (const sql of STAYING[kind]) {
    t.equal((await app.inject({ method: 'POST', url: '/', query: { sql, status: '409' } })).statusCode, 409, sql)
    t.same(await labels(), [], sql)
    const { statusCode, body } = await app.inject({ method: 'POST', url: '/', query: { sql, status: '200' } })
    t.equal(statusCode, 200, `${sql}: ${body}`)
    t.same(await labels(), ['after', 'before'], sql)
    await database.witness.em.fork().nativeDelete(Item, {})
  }
})

onEachDatabase('several statements in one text', { ...automatic, orm: { multipleStatements: true }, kinds: servers }, async (t, { app, kind, database, labels }) => {
  const insert = (label: string) => `insert into item (label, amount) values ('${label}', 0)`
  app.post<{ Body: string }>('/', async request => {
    await request.db.execute(request.body)
    await request.db.insert(Item, { label: 'after', amount: 0 })
    return 'ok'
  })
  app.post<{ Body: string }>('/read-only', { config: { db: { readOnly: true } } }, async request => {
    await request.db.execute(request.body)
    return 'ok'
  })
  const post = async (url: string, payload: string) => (await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'text/plain' } })).statusCode
  for (const ending of ['commit', 'rollback', 'select 1; commit', 'commit; start transaction', "select ';'; /* ; */ rollback", ...kind === 'mysql' ? ['/*! commit */; select 1'] : []]) {
    t.equal(await post('/', `${insert('before')}; ${ending}; ${insert('in between')}`), 500, ending)
    t.notOk((await labels()).includes('after'), ending)
    await database.witness.em.fork().nativeDelete(Item, {})
    t.equal(await post('/read-only', `select 1; ${ending}; ${insert('escaped')}`), 500, ending)
    t.same(await labels(), [], ending)
  }
  t.equal(await post('/', `${insert('one')}; ${insert('two')}; select 1`), 200)
  t.same(await labels(), ['after', 'one', 'two'])
  for (const sql of ["select 'a; commit'", `select 'it''s; commit', ${kind === 'mysql' ? '`id`' : '"id"'} from item`, 'select 1; select 2;', '/* a; b */ select 1']) {
    t.equal(await post('/read-only', sql), 200, sql)
  }
  if (kind === 'mysql') t.equal(await post('/read-only', "select 'it\\'s; commit'"), 500, 'whether its literal ends there is the database\'s to know')
})

onEachDatabase('what is sent on a connection that Kysely gives away is looked at, too', automatic, async (t, { app, kind, labels }) => {
  const insert = (label: string) => sql`insert into item (label, amount) values (${label}, 0)`
  const onConnection = async (session: Session, use: (kysely: Kysely<unknown>) => Promise<unknown>) => await session.getKysely<unknown>().connection().execute(use)
  app.post('/works', async request => {
    await onConnection(request.db, async kysely => {
      await insert('kept').execute(kysely)
      for await (const row of kysely.selectFrom('item' as never).selectAll().stream()) t.match(row, { label: 'kept' })
    })
    return 'ok'
  })
  app.post('/commits', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await onConnection(request.db, async kysely => {
      await sql`rollback`.execute(kysely)
      await t.rejects(insert('after').execute(kysely), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    })
    return 'ok'
  })
  app.post('/fails', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await onConnection(request.db, async kysely => {
      await t.rejects(insert('before').execute(kysely))
      await t.rejects(sql`select nothing`.execute(kysely))
      if (kind === 'postgresql') await t.rejects(insert('after').execute(kysely), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', cause: { code: '23505' } })
      else await insert('after').execute(kysely)
    })
    return 'ok'
  })
  app.post('/reads', { config: { db: { readOnly: true } } }, async request => {
    await onConnection(request.db, async kysely => {
      await t.rejects(insert('escaped').execute(kysely), { code: 'FST_SCOPED_DB_READ_ONLY' })
      await sql`select 1`.execute(kysely)
    })
    return 'ok'
  })
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    await onConnection(request.db, async kysely => {
      await insert('by hand').execute(kysely)
      for await (const row of kysely.selectFrom('item' as never).selectAll().where('label' as never, '=', 'by hand' as never).stream()) t.match(row, { label: 'by hand' })
    })
    return 'ok'
  })
  const post = async (url: string) => (await app.inject({ method: 'POST', url })).statusCode
  t.equal(await post('/works'), 200)
  t.equal(await post('/commits'), 500)
  t.equal(await post('/reads'), 200)
  t.same(await labels(), ['kept'])
  t.equal(await post('/fails'), kind === 'postgresql' ? 500 : 200)
  t.equal(await post('/manual'), 200)
  t.same(await labels(), kind === 'postgresql' ? ['by hand', 'kept'] : ['after', 'before', 'by hand', 'kept'])
})

/** What databases quote, comment and separate with, and what ends a transaction. */
const FRAGMENTS = [
  'select 1', "insert into item (label) values ('", "')", 'commit', ' commit ', 'rollback', 'begin', "'", '"', '`', '\\', ';', '--', '-- ', '#', '/*', '*/', '/*!', '/*M!', '\n', ' ', "''",
  '$$', "select '", "' ", 'select "', 'select `', '" ', '/* x */', '(', ')', "\\'"
]

onEachDatabase('whatever text ends the transaction is watched, and refused where readOnly', { ...automatic, orm: { multipleStatements: true }, kinds: ['mysql'] }, async (t, { orm }) => {
  const pool = await orm.driver.getConnection().getNativeClient() as Pool
  const connection = await pool.promise().getConnection()
  /** Whether the server has left the transaction in which it was given a text. */
  const ends = async (text: string) => {
    await connection.query('begin')
    await connection.query('savepoint mine')
    await connection.query(text).catch(() => {})
    const hasEnded = await connection.query('release savepoint mine').then(() => false, () => true)
    await connection.query('rollback')
    return hasEnded
  }
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...FRAGMENTS), { minLength: 1, maxLength: 9 }), async fragments => {
    const text = fragments.join('')
    return !await ends(text) || (mayEndTransaction(text) && statementKind(text) === 'write')
  }), { numRuns: 5_000, examples: [[['select 1', ';', 'commit']], [["select '", "\\'", "' ", ';', 'commit']], [['/*!', 'commit', '*/']]] })
  connection.release()
  t.pass('in every one of them')
})
