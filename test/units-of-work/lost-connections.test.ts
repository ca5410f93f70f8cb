/** Pooled connections that lead nowhere, or that are refused, and what becomes of those who are given one. */
import { sql } from 'kysely'
import type { Pool as PgPool, PoolClient } from 'pg'
import type { Test } from 'tap'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { nativePool, type NativeClient } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied, type Proxied } from '../support/proxied.ts'

const automatic = { commitOnTeardown: true, acquireTimeout: 4_000 }
const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })

/** The one connection in the pool is lost. */
async function lose ({ orm, proxy }: Proxied): Promise<void> {
  proxy.react = () => 'cut before'
  await orm.driver.getConnection().execute('select 1').catch(() => undefined)
  proxy.react = () => undefined
}

/** Nothing is left, and every place in the pool can be taken. */
async function assertWhole (t: Test, { database, dialect }: Stage, { orm, proxy }: Proxied): Promise<void> {
  proxy.react = () => undefined
  await Promise.all(Array.from({ length: 5 }, async () => await orm.driver.getConnection().execute(`select ${dialect.sleep(0.01)}`)))
  t.same(await database.leftovers(orm), [])
}

onEachDatabase('BEGIN proves that a connection leads to the server: others are taken until one does', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, automatic, { pool: { max: 3 } })
  const { app, proxy } = to
  app.post<{ Params: { label: string } }>('/:label', async request => { await insert(request.params.label) })
  app.post('/serializable', { config: { db: { isolationLevel: 'serializable' } } }, async () => { await insert('serializable') })
  const post = async (label: string) => (await app.inject({ method: 'POST', url: `/${label}` })).statusCode
  await Promise.all(['a', 'b', 'c'].map(post))
  proxy.strand()
  t.equal(await post('one after the other'), 200)
  await Promise.all(['d', 'e', 'f'].map(post))
  proxy.strand()
  t.same(await Promise.all(['g', 'h', 'serializable'].map(post)), [200, 200, 200])
  t.same(await stage.labels(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'one after the other', 'serializable'])
  await assertWhole(t, stage, to)
})

onEachDatabase('a server that has no place is asked again, until acquireTimeout', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, { ...automatic, acquireTimeout: 800, mapErrors: true }, { ensureDatabase: false, pool: { max: 1 } })
  const { app, proxy } = to
  app.post('/', async () => { await insert('a') })
  app.get('/', async () => await db.session.count(Item))
  app.get('/stream', async () => {
    let count = 0
    for await (const item of db.session.stream(Item, {})) count += item.id > 0 ? 1 : 0
    return count
  })
  for (const [method, url] of [['POST', '/'], ['GET', '/'], ['GET', '/stream']] as const) {
    let refused = 0
    proxy.refuses = () => ++refused <= 2
    t.equal((await app.inject({ method, url })).statusCode, 200, `${method} ${url}`)
    t.ok(refused >= 3)
    proxy.refuses = () => true
    await lose(to)
    const response = await app.inject({ method, url })
    t.match(response.json(), { statusCode: 503, code: 'FST_SCOPED_DB_UNAVAILABLE' })
  }
  proxy.refuses = () => false
  t.same(await stage.labels(), ['a'])
  await assertWhole(t, stage, to)
})

onEachDatabase('a statement that is not answered any more ends with its request, and its connection does not go back', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, { ...automatic, acquireTimeout: 400 }, { pool: { max: 1 } })
  const { app, proxy } = to
  const manual = { commitOnTeardown: false }
  app.post('/inside', { handlerTimeout: 200 }, async () => { await insert('a'); await db.session.execute('update item set amount = 7') })
  app.get('/outside', { handlerTimeout: 200 }, async () => { await db.session.execute('select 777') })
  app.post('/by-hand', { handlerTimeout: 200, config: { db: manual } }, async () => { await db.session.execute('update item set amount = 7') })
  app.get('/streamed', { handlerTimeout: 200 }, async () => { for await (const item of db.session.stream(Item, { where: { amount: 7 } })) t.fail(item.label) })
  app.post<{ Params: { label: string } }>('/next/:label', async request => { await insert(request.params.label) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  for (const [method, url] of [['POST', '/inside'], ['GET', '/outside'], ['POST', '/by-hand'], ['GET', '/streamed']] as const) {
    proxy.react = sql => /777|= 7/.test(sql) ? 'strand' : undefined
    t.equal((await fetch(new URL(url, app.listeningOrigin), { method })).status, 503, url)
    proxy.react = () => undefined
    t.equal((await fetch(new URL(`/next${url}`, app.listeningOrigin), { method: 'POST' })).status, 200, `after ${url}`)
  }
  t.equal(app.db.openScopes, 0)
  t.same(await stage.labels(), ['by-hand', 'inside', 'outside', 'streamed'])
  await assertWhole(t, stage, to)
})

for (const beginWithFirst of [true, false]) {
  onEachDatabase(`a COMMIT that is not answered any more ends with its request, and nobody knows (beginWithFirst: ${beginWithFirst})`, { kinds: servers }, async (t, stage) => {
    const to = await proxied(t, stage.database, { ...automatic, acquireTimeout: 400 }, { pool: { max: 1 } })
    const { app, proxy } = to
    app.post('/', { handlerTimeout: 200, config: { db: { beginWithFirst } } }, async () => { await insert('a') })
    app.post('/next', async () => { await insert('next') })
    await app.listen({ port: 0, host: '127.0.0.1' })
    proxy.react = sql => sql === 'commit' ? 'strand' : undefined
    const response = await fetch(app.listeningOrigin, { method: 'POST' })
    proxy.react = () => undefined
    t.match(await response.json(), { statusCode: 500, code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
    t.equal((await fetch(new URL('/next', app.listeningOrigin), { method: 'POST' })).status, 200)
    t.equal(app.db.openScopes, 0)
    t.same(await stage.labels(), ['next'])
    await assertWhole(t, stage, to)
  })
}

onEachDatabase('a plain read is sent again when its connection was lost, and nothing else is', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, automatic)
  const { app, proxy } = to
  const manual = { config: { db: { commitOnTeardown: false } } }
  app.get('/read', async () => await db.session.execute('select 777'))
  app.post('/write', manual, async () => await db.session.execute("insert into item (label, amount) values ('777', 7)"))
  app.get('/signal', async request => {
    const kysely = request.db.getKysely()
    return await kysely.executeQuery(sql.raw('select 777').compile(kysely), { signal: new AbortController().signal })
  })
  for (const reaction of ['cut before', 'cut after'] as const) {
    let cut = 0
    proxy.react = sql => sql.includes('777') && ++cut <= 2 ? reaction : undefined
    t.equal((await app.inject('/read')).statusCode, 200)
    t.equal(cut, 3)
    cut = 0
    t.equal((await app.inject({ method: 'POST', url: '/write' })).statusCode, 500)
    t.equal(cut, 1)
    cut = 0
    t.equal((await app.inject('/signal')).statusCode, 500)
    t.equal(cut, 1)
    proxy.react = () => undefined
    proxy.strand()
    t.equal((await app.inject('/signal')).statusCode, 200)
  }
  t.same(await stage.labels(), ['777'])
  await assertWhole(t, stage, to)
})

onEachDatabase('a statement that was never sent is sent on another connection, and what has a connection is not called again', { kinds: servers, plugin: { commitOnTeardown: false } }, async (t, { app, orm, labels, dialect }) => {
  const insertOn = (label: string) => sql`insert into item (label, amount) values (${label}, 0)`
  await orm.connect()
  const pool = await nativePool(orm)
  const nextConnection = async () => await new Promise<NativeClient>(resolve => pool.once('acquire', resolve))
  let calls = 0
  app.post('/statement', async () => { await db.session.execute("insert into item (label, amount) values ('statement', 0)") })
  app.post('/given', async request => await request.db.getKysely().connection().execute(async connection => { await insertOn('given').execute(connection) }))
  app.post('/lost', async request => {
    const connection = nextConnection()
    await request.db.getKysely().connection().execute(async kysely => {
      await insertOn(`lost ${++calls}`).execute(kysely)
      dialect.destroy(await connection)
      await insertOn('after').execute(kysely)
    })
  })
  await app.ready()
  await app.db.run(async session => await session.count(Item))
  for (const url of ['/statement', '/given']) {
    void nextConnection().then(connection => { dialect.destroy(connection) })
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 200, url)
  }
  t.equal((await app.inject({ method: 'POST', url: '/lost' })).statusCode, 500)
  t.same(await labels(), ['given', 'lost 1', 'statement'])
})

onEachDatabase('a connection to a server that has become read-only does not go back', { kinds: ['mysql'], plugin: { commitOnTeardown: true }, orm: { pool: { max: 1 } } }, async (t, { app, dialect }) => {
  const message = 'The MariaDB server is running with the --read-only option so it cannot execute this statement'
  const ids = new Set<unknown>()
  const connectionId = async () => (await db.session.execute<{ id: number }[]>(`select ${dialect.connectionId} as id`))[0]?.id
  const refused = `signal sqlstate 'HY000' set mysql_errno = 1290, message_text = '${message}'`
  const write = async () => {
    ids.add(await connectionId())
    await db.session.execute(refused)
  }
  app.post('/', write)
  app.post('/swallowed', async () => { await write().catch(() => undefined) })
  app.post('/by-hand', { config: { db: { commitOnTeardown: false } } }, write)
  app.post('/streamed', { config: { db: { commitOnTeardown: false } } }, async request => {
    ids.add(await connectionId())
    const kysely = request.db.getKysely()
    for await (const { rows } of kysely.getExecutor().stream(sql.raw(refused).compile(kysely), 1)) t.fail(String(rows.length))
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.equal((await app.inject({ method: 'POST', url: '/swallowed' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/by-hand' })).statusCode, 500)
  t.equal((await app.inject({ method: 'POST', url: '/streamed' })).statusCode, 500)
  await app.db.run(async () => { ids.add(await connectionId()) })
  t.equal(ids.size, 5)
})

onEachDatabase('a plain read on a connection that leads nowhere is sent again on another one, and a slow one is left alone', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, automatic, { pool: { max: 2 } })
  const { app, proxy } = to
  const reads: Record<string, () => Promise<unknown>> = {
    find: async () => await db.session.find(Item, {}),
    execute: async () => await db.session.execute('select 777'),
    Kysely: async () => await db.session.getKysely().selectFrom('item' as never).selectAll().execute(),
    stream: async () => { for await (const item of db.session.stream(Item, {})) item.label.at(0) },
    slow: async () => await db.session.execute(`select 777, ${stage.dialect.sleep(1.2)}`)
  }
  for (const [name, read] of Object.entries(reads)) {
    app.get(`/${name}`, async () => { await read() })
    app.post(`/${name}`, { config: { db: { commitOnTeardown: false } } }, async () => { await read() })
  }
  for (const name of Object.keys(reads)) {
    for (const method of ['GET', 'POST'] as const) {
      const both = async () => (await Promise.all([1, 2].map(async () => await app.inject({ method, url: `/${name}` })))).map(({ statusCode }) => statusCode)
      t.same(await both(), [200, 200])
      proxy.strand()
      t.same(await both(), [200, 200], `${method} ${name}`)
      let sent = 0
      proxy.react = sql => { sent += sql.includes('777') ? 1 : 0; return undefined }
      t.same(await both(), [200, 200])
      t.equal(sent, ['execute', 'slow'].includes(name) ? 2 : 0, 'nothing is sent twice')
      proxy.react = () => undefined
    }
  }
  await assertWhole(t, stage, to)
})

onEachDatabase('a plain read is waited for where the server can tell nothing of its connection', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, { ...automatic, acquireTimeout: 400 }, { pool: { max: 1 } })
  const { app, proxy } = to
  app.get('/', async () => { await db.session.execute(`select 777, ${stage.dialect.sleep(0.4)}`) })
  t.equal((await app.inject('/')).statusCode, 200)
  let refused = 0
  proxy.refuses = () => ++refused > 0
  t.equal((await app.inject('/')).statusCode, 200)
  t.ok(refused > 0, 'the server was asked')
  proxy.refuses = () => false
  await assertWhole(t, stage, to)
})

onEachDatabase('a subscriber that stops a transaction after its BEGIN leaves nothing behind', { plugin: { commitOnTeardown: true }, orm: { pool: { max: 1 } } }, async (t, { app, orm, labels, assertClean }) => {
  let stops = true
  orm.em.getEventManager().registerSubscriber({ async afterTransactionStart () { if (stops) throw new Error('not now') } })
  app.post('/', async request => { await request.db.insert(Item, { label: 'a', amount: 0 }) })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  await assertClean()
  stops = false
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['a'])
})

onEachDatabase('a connection that is closed is given to nobody any more', { kinds: ['postgresql'], orm: { pool: { max: 1 } } }, async (t, { app, orm }) => {
  const given: boolean[] = []
  const pool = await orm.driver.getConnection().getNativeClient() as PgPool
  pool.on('acquire', (client: PoolClient & { connection?: { stream: { destroyed: boolean } } }) => { given.push(client.connection?.stream.destroyed !== false) })
  // What it leaves behind on its connection is nobody else's.
  app.get('/', async () => { await db.session.execute("set timezone to 'UTC'") })
  const statuses = await Promise.all(Array.from({ length: 3 }, async () => (await app.inject('/')).statusCode))
  t.same(statuses, [200, 200, 200])
  t.same(given, [false, false, false])
})
