import type { MikroORM } from '@mikro-orm/core'
import { raw } from '@mikro-orm/core'
import { db } from '../../../plugin.ts'
import { MYSQL } from '../../../lib/drivers/mysql.ts'
import { POSTGRESQL } from '../../../lib/drivers/postgresql.ts'
import { SQLITE } from '../../../lib/drivers/sqlite.ts'
import { isTransactionControl, mayEndTransaction, setsAutocommit, statementKind } from '../../../lib/drivers/sql/statements.ts'
import { ItemSchema as Item } from '../../support/entities.ts'
import { onEachDatabase, type Stage } from '../../support/on-each-database.ts'
import pg from 'pg'
import t from 'tap'

const automatic = { plugin: { commitOnTeardown: true, beginWithFirst: false } }

/** What the server was asked to do while `work` ran: MySQL's general log, or a trace of what SQLite prepares and of what pg sends. */
async function statementsOf ({ kind, database, orm }: Stage, work: () => Promise<unknown>): Promise<string[]> {
  if (kind === 'sqlite') return await tracedBySqlite(orm, work)
  if (kind === 'postgresql') return await tracedByPg(work)
  // The log is the whole server's, which others may be testing on too.
  return await database.witness.em.fork().transactional(async em => {
    await em.execute("do get_lock('fastify-scoped-db general_log', 60)")
    await em.execute("set global log_output = 'TABLE'")
    await em.execute('set global general_log = 1')
    const [{ at }] = await em.execute<[{ at: string }]>('select now(6) as at')
    await work()
    await em.execute('set global general_log = 0')
    const rows = await em.execute<{ argument: Buffer | string }[]>(
      `select argument from mysql.general_log where command_type = 'Query' and event_time >= ? and thread_id in
       (select id from information_schema.processlist where db = database() and id <> connection_id()) order by event_time`, [at])
    await em.execute("do release_lock('fastify-scoped-db general_log')")
    return rows.map(row => String(row.argument))
  })
}

async function tracedBySqlite (orm: MikroORM, work: () => Promise<unknown>): Promise<string[]> {
  const client = await orm.driver.getConnection().getNativeClient() as { prepare: (sql: string) => unknown }
  const { prepare } = client
  const statements: string[] = []
  client.prepare = function (sql) {
    statements.push(sql)
    return prepare.call(this, sql)
  }
  await work()
  client.prepare = prepare
  return statements
}

async function tracedByPg (work: () => Promise<unknown>): Promise<string[]> {
  const { prototype } = pg.Client as unknown as { prototype: { query (query: unknown, ...rest: unknown[]): unknown } }
  const { query } = prototype
  const statements: string[] = []
  prototype.query = function (sql, ...rest) {
    if (typeof sql === 'string') statements.push(sql)
    return query.call(this, sql, ...rest)
  }
  await work()
  prototype.query = query
  return statements
}

/** MikroORM asks MySQL for the increment of its ids before its first insert. */
async function warmUp ({ app, orm }: Stage): Promise<void> {
  await app.ready()
  const em = orm.em.fork()
  em.create(Item, { label: 'warm-up' })
  await em.flush()
  // Each connection is asked its name once.
  await app.db.run(async session => await session.count(Item), { commitOnTeardown: false })
}

const verb = (sql: string) => sql.trim().split(/[\s(]/)[0]?.toLowerCase() ?? ''

const DRIVERS = { mysql: MYSQL, postgresql: POSTGRESQL, sqlite: SQLITE }

onEachDatabase('the first statement begins, and nothing is sent when nothing was asked', automatic, async (t, stage) => {
  const { app } = stage
  app.get('/nothing', async () => 'nothing')
  app.get('/session', async request => String(request.db.id))
  app.get('/read', async request => await request.db.count(Item).then(String))
  app.post('/insert', async request => request.db.create(Item, { label: 'a' }))
  app.post('/read', async request => await request.db.count(Item).then(String))
  app.options('/read', async request => await request.db.count(Item).then(String))
  app.get('/read-then-write', async request => {
    await request.db.count(Item)
    request.db.create(Item, { label: 'b' })
    await request.db.flush()
    await request.db.count(Item)
    return 'ok'
  })
  app.get('/lock', async request => await request.db.execute(stage.kind === 'mysql' ? 'select 1 for update' : 'select 1 /* locks */').then(() => 'ok'))
  app.get('/statement', { config: { db: { begin: 'statement' } } }, async request => await request.db.count(Item).then(String))
  app.post('/write', { config: { db: { begin: 'write' } } }, async request => await request.db.count(Item).then(String))
  await warmUp(stage)

  const sent = async (method: 'GET' | 'HEAD' | 'OPTIONS' | 'POST', url: string) => (await statementsOf(stage, async () => {
    t.equal((await app.inject({ method, url })).statusCode, 200, `${method} ${url}`)
  })).map(verb)
  t.same(await sent('GET', '/nothing'), [])
  t.same(await sent('GET', '/session'), [])
  for (const method of ['GET', 'HEAD', 'OPTIONS'] as const) t.same(await sent(method, '/read'), ['select'], method)
  t.same(await sent('POST', '/insert'), ['begin', 'insert', 'commit'])
  t.same(await sent('POST', '/read'), ['begin', 'select', 'commit'])
  t.same(await sent('GET', '/read-then-write'), ['select', 'begin', 'insert', 'select', 'commit'])
  t.same(await sent('GET', '/lock'), ['begin', 'select', 'commit'])
  t.same(await sent('GET', '/statement'), ['begin', 'select', 'commit'])
  t.same(await sent('POST', '/write'), ['select'])
  const run = await statementsOf(stage, async () => await db.run(async session => { await session.count(Item) }))
  t.same(run.map(verb), ['begin', 'select', 'commit'], 'db.run() is like a POST')
})

onEachDatabase('isolationLevel implies a transaction from the first statement', { ...automatic, kinds: ['mysql'] }, async (t, stage) => {
  const { app } = stage
  app.get('/', { config: { db: { isolationLevel: 'serializable' } } }, async request => {
    return await request.db.count(Item).then(String)
  })
  app.get('/read-committed', { config: { db: { isolationLevel: 'read committed', begin: 'write' } } }, async request => String(await request.db.count(Item)))
  await warmUp(stage)
  t.match(await statementsOf(stage, () => app.inject('/')), ['set transaction isolation level serializable', 'begin', /^select/, 'commit'])
  t.match(await statementsOf(stage, () => app.inject('/read-committed')), ['set transaction isolation level read committed', 'begin', /^select/, 'commit'])
})

onEachDatabase('without commitOnTeardown the statements are plain MikroORM\'s', { plugin: { commitOnTeardown: false, beginWithFirst: false } }, async (t, stage) => {
  const { app } = stage
  app.post('/flush', async request => {
    request.db.create(Item, { label: 'flushed' })
    await request.db.flush()
    return 'ok'
  })
  app.post('/nested', async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'nested' })
      await em.transactional(async inner => { inner.create(Item, { label: 'inner' }) })
    })
    return 'ok'
  })
  app.post('/begun', async request => {
    await request.db.begin()
    await request.db.commit()
    return 'ok'
  })
  await warmUp(stage)
  const sent = async (url: string) => (await statementsOf(stage, async () => { t.equal((await app.inject({ method: 'POST', url })).statusCode, 200) })).map(verb)
  t.same(await sent('/flush'), ['begin', 'insert', 'commit'])
  t.same(await sent('/nested'), ['begin', 'savepoint', 'insert', 'release', 'commit'])
  t.same(await sent('/begun'), ['begin', 'commit'])
})

const logged: string[] = []

onEachDatabase('MikroORM\'s query log tells of the transaction\'s beginning and end', {
  ...automatic, orm: { debug: ['query'], colors: false, logger: line => { logged.push(line) } }
}, async (t, stage) => {
  const { app } = stage
  app.post('/commit', async request => { await request.db.insert(Item, { label: 'a', amount: 0 }) })
  app.post('/rollback', async request => {
    await request.db.insert(Item, { label: 'b', amount: 0 })
    throw new Error('roll back')
  })
  await warmUp(stage)
  const log = async (url: string) => {
    logged.length = 0
    await app.inject({ method: 'POST', url })
    return logged.map(line => verb(line.replace(/^\[query\] /, '')))
  }
  t.same(await log('/commit'), ['begin', 'insert', 'commit'])
  t.same(await log('/rollback'), ['begin', 'insert', 'rollback'])
})

onEachDatabase('raw queries are inside the transaction too', automatic, async (t, { app, labels, orm }) => {
  app.post('/', async request => {
    const em = request.db
    await em.execute("insert into item (label, amount) values ('execute', 1)")
    await em.createQueryBuilder(Item).insert({ label: 'query builder', amount: 1 }).execute()
    await em.getKysely<{ item: { label: string, amount: number } }>().insertInto('item').values({ label: 'kysely', amount: 1 }).execute()
    await em.getConnection().execute("insert into item (label, amount) values ('connection', 1)")
    await orm.em.getConnection().execute("insert into item (label, amount) values ('orm.em', 1)")
    await em.nativeUpdate(Item, { label: 'execute' }, { amount: raw<number>('amount + 1') })
    const rows: { label: string }[] = []
    const kysely = em.getKysely<{ item: { label: string } }>({ tableNamingStrategy: 'table' } as never)
    for (const row of await kysely.selectFrom('item').select('label').execute()) rows.push(row)
    t.equal(rows.length, 5, 'and see their own writes')
    t.same(await labels(), [], 'which nobody else does')
    throw new Error('after all')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'after all' })
  t.same(await labels(), [])
})

onEachDatabase('db.remove() rolls back and the next use makes a new session', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const first = request.db
    const { id } = first
    first.create(Item, { label: 'removed' })
    await first.flush()
    await db.remove()
    t.equal(db.hasSession(), false)
    t.throws(() => first.create(Item, { label: 'never' }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    t.not(request.db.id, id)
    return request.db.create(Item, { label: 'kept' })
  })
  app.post('/twice', async () => {
    await db.remove()
    await db.remove()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/twice' })).statusCode, 200)
  t.same(await labels(), ['kept'])
})

void t.test('kinds of statements', async t => {
  for (const sql of ['select 1', ' SELECT * from a where b = ?', '(select 1) union (select 2)', 'show tables', 'with a as (select 1) select * from a',
    'explain select 1', 'select `updated_at` from `inserts`', 'values (1)', 'select 1;', 'select 1; ', '( select 1)', '\n\n select 1', '(\n(select 1))',
    'with a as (select count(*) updates from b) select * from a', 'select a - -1 from b', 'select forupdate from a']) t.equal(statementKind(sql), 'read', sql)
  for (const sql of ['select 1 for update', 'select 1 FOR  SHARE', 'select 1 lock in share mode', "select 1 into outfile 'a'", 'select 1; select 2', "select 'a;b'",
    'select /* hidden */ 1', 'select 1 -- hidden', 'select 1 # hidden', 'select @a := 1', "select get_lock('a', 1)", 'select last_insert_id()', 'select nextval(a)',
    'explain analyze select 1', 'with a as (delete from b returning *) select * from a', "select 'into the wild'", 'select 1;\n\n select 2', 'select 1 for no key update',
    'select 1 for  no  key  update', 'select 1 for key  share', 'select 1 lock  in  share  mode', 'select pg_advisory_lock(1)', 'select pg_try_advisory_xact_lock(1)', 'select row_count()',
    'explain with a as (select 1) insert into b select * from a', 'select next value for a', 'select previous  value for a', 'select sql_calc_found_rows * from a', 'select found_rows()', 'show warnings', 'show errors limit 1', 'show count(*) warnings', 'show profiles',
    'select evil.lower(a) from b', 'select evil.values(1)', 'select evil . in (1)', 'select writes(1)', 'select `count`(1)']) t.equal(statementKind(sql), 'doubtful', sql)
  for (const sql of ['insert into a values (1)', 'UPDATE a set b = 1', 'create table a (b int)', 'call a()', 'pragma foreign_keys = 0', 'set @a = 1', '',
    'with a as (select 1) insert into b select * from a', ' \n with a as (select 1)insert into b select * from a', 'WITH a as (\n  select 1\n)\n  DELETE from b',
    'create table a as select 1', 'begin; select 1', 'selection', 'something new', 'select 1; delete from a', 'select 1;delete from a', 'select 1;\n\n delete from a', "select 1 -- it's; a\n; delete from b", "select ';'; commit"]) t.equal(statementKind(sql), 'write', sql)
})

void t.test('a function is harmless where it is built in, and where it is not it may be a user\'s', async t => {
  const calls: [string, ...(keyof typeof DRIVERS)[]][] = [
    ["date_format(a, '%Y')", 'mysql'], ["json_unquote(json_extract(a, '$.b'))", 'mysql'], ['match (a) against (?)', 'mysql'], ['st_distance(a, b)', 'mysql'],
    ["to_char(a, 'YYYY')", 'postgresql'], ["date_trunc('day', a)", 'postgresql'], ['jsonb_agg(a)', 'postgresql'], ['a = any (?)', 'postgresql'],
    ["strftime('%Y', a)", 'sqlite'], ['typeof(a)', 'sqlite'], ['now()', 'mysql', 'postgresql'], ['ifnull(a, 1)', 'mysql', 'sqlite'],
    ['count(*), coalesce(lower(a), cast(b as char(1)))', 'mysql', 'postgresql', 'sqlite']
  ]
  for (const [call, ...names] of calls) {
    for (const [name, { functions }] of Object.entries(DRIVERS)) t.equal(statementKind(`select ${call} from b`, functions), names.includes(name as keyof typeof DRIVERS) ? 'read' : 'doubtful', `${name}: ${call}`)
    t.equal(statementKind(`select ${call} from b`), names.length === 3 ? 'read' : 'doubtful', call)
  }
})

void t.test('what may end a transaction', async t => {
  for (const sql of ['commit', 'rollback', 'rollback work', ' ;commit', '/* x */ begin', '/**//*/**/ end', '-- x\n# y\n xa end', '/*! commit */', '/*!50000 commit */', '/*M! commit */', '/*M!100 commit */',
    'call a()', 'create table a (b int)', 'set a = 1', 'select 1; commit', "insert into a values ('b'); commit", "update a set b = 'it''s'; commit", 'select "a;b"; commit', 'select `a;b`; commit',
    "select 1 -- it's\n; commit -- it's", "select $$'$$; commit; select $$'$$", "select $é$'$é$; commit; select $é$'$é$", "select 1 # it's\n; commit", "/* it's */ select 1; commit", "/* /* it's */ select 1; commit", "select '\\'; commit; select '\\'", "update a set b = 'it\\'s; commit'", 'select "\\\\"; commit', '', 'something new']) {
    t.equal(mayEndTransaction(sql), true, sql)
  }
  for (const sql of ['select 1', '(select 1)', ' insert into a values (1);', "update a set b = 'c; commit'", "update a set b = 'it''s; commit'", 'update a set b = "c; commit"',
    'delete from `a;b`', 'select /* a; b */ 1', '/* x */ -- y\n select 1', 'rollback to a', 'rollback work to savepoint a', 'rollback transaction to a', 'savepoint a', 'release savepoint a',
    'with a as (select 1) select 2', 'explain select 1', 'do 1', 'replace into a values (1)']) {
    t.equal(mayEndTransaction(sql), false, sql)
  }
})

void t.test('what sets autocommit', async t => {
  for (const sql of ['set autocommit = 0', 'SET @@session.autocommit=1', 'set session sql_mode = 1, autocommit = 1', '/* x */ set autocommit = 0', '-- x\nset autocommit = 0', '/*!40101 set autocommit = 0 */', '/*M! set autocommit = 0 */',
    'select 1; set autocommit = 0', 'select 1; set `autocommit` = 0', 'set `autocommit` = 0']) t.equal(setsAutocommit(sql), true, sql)
  for (const sql of ["call note('please set the autocommit flag')", 'set sql_mode = 1', 'alter table a comment = "set autocommit"', "select 1; update a set b = 'autocommit'", 'reset autocommit']) t.equal(setsAutocommit(sql), false, sql)
})

void t.test('however long a statement is, it is sorted in no time', async t => {
  t.equal(mayEndTransaction(`${'/**/'.repeat(100_000)}!`), true)
  t.equal(mayEndTransaction(`insert into a values ('${"\\';".repeat(1_000_000)}')`), true)
  t.equal(mayEndTransaction(`insert into a values ('${';"'.repeat(10_000_000)}')`), false)
  t.equal(mayEndTransaction(`insert into a values ${'/*;'.repeat(100_000)}`), true)
  t.equal(setsAutocommit(`call note('${'set '.repeat(500_000)}')`), false)
  t.equal(statementKind(`select count(*) from a where b = '${'a'.repeat(1_000_000)}'`), 'read')
})

void t.test('what begins or ends a transaction, and does nothing else', async t => {
  for (const sql of ['begin', 'START TRANSACTION read only', 'commit;', 'rollback to `a`', 'savepoint a', 'release savepoint a', ' /* tag */ commit', 'savepoint `a;b`']) t.equal(isTransactionControl(sql), true, sql)
  for (const sql of ['begin not atomic insert into a values (1); insert into a values (2); end', 'commit; insert into a values (1)', 'insert into a values (1)', 'select 1']) t.equal(isTransactionControl(sql), false, sql)
})
