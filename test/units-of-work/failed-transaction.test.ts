/** Transactions that the database has ended, or does not begin. */
import type { Pool, PoolConnection } from 'mysql2'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { rewrite } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('after a deadlock nothing more goes through, and the request cannot commit', { ...automatic, kinds: servers }, async (t, { app, labels, database }) => {
  const em = database.witness.em.fork()
  for (const label of ['a', 'b']) em.create(Item, { label })
  await em.flush()
  const both = [new Gate(), new Gate()]
  const caught: unknown[] = []
  app.post('/:first/:second/:n', async request => {
    const { first, second, n } = request.params as Record<string, string>
    await request.db.nativeUpdate(Item, { label: first as string }, { amount: 1 })
    both[Number(n)]?.open()
    await Promise.all(both.map(gate => gate.opened))
    try {
      await request.db.nativeUpdate(Item, { label: second as string }, { amount: 1 })
    } catch (error) {
      caught.push(error)
      await t.rejects(request.db.insert(Item, { label: 'on its own', amount: 0 }), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
      return 'as if nothing had happened'
    }
    return 'ok'
  })
  const replies = await Promise.all([app.inject({ method: 'POST', url: '/a/b/0' }), app.inject({ method: 'POST', url: '/b/a/1' })])
  t.same(replies.map(reply => reply.statusCode).sort(), [200, 500])
  t.match(caught, [{ name: 'DeadlockException' }])
  t.same(await labels(), ['a', 'b'])
})

onEachDatabase('after SQLite has rolled back by itself nothing more goes through', { ...automatic, kinds: ['sqlite'] }, async (t, { app, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await t.rejects(request.db.execute("insert or rollback into item (label, amount) values ('a', 1)"), { name: 'UniqueConstraintViolationException' })
    await t.rejects(request.db.insert(Item, { label: 'on its own', amount: 0 }), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    return 'as if nothing had happened'
  })
  app.post('/goes-on', async request => {
    await request.db.insert(Item, { label: 'goes on', amount: 0 })
    await t.rejects(request.db.insert(Item, { label: 'goes on', amount: 0 }))
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(await labels(), [])
  t.equal((await app.inject({ method: 'POST', url: '/goes-on' })).statusCode, 200)
  t.same(await labels(), ['goes on'])
})

onEachDatabase('the server is asked whether it has rolled back the transaction with a statement', { ...automatic, orm: { pool: { max: 1 } }, kinds: ['mysql'] }, async (t, { app, database, labels, orm }) => {
  const DISTRESS = '-- distress'
  app.post<{ Querystring: { sql: string } }>('/', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await t.rejects(request.db.execute(request.query.sql))
    await request.db.insert(Item, { label: 'after', amount: 0 }).catch(() => {})
    return 'as if nothing had happened'
  })
  const post = async (sql: string) => (await app.inject({ method: 'POST', url: '/', query: { sql } })).statusCode
  for (const sql of ['update nothing set amount = 1', 'select nothing(1) for update', "signal sqlstate '45000'", "insert into item (label) values ('before')"]) {
    t.equal(await post(sql), 200, sql)
    t.same(await labels(), ['after', 'before'])
    await database.witness.em.fork().nativeDelete(Item, {})
  }
  const pool = await orm.driver.getConnection().getNativeClient() as Pool
  const connection = await new Promise<PoolConnection>((resolve, reject) => { pool.getConnection((error, connection) => { if (error) reject(error); else resolve(connection) }) })
  const { query } = connection
  // Stands for a server whose lock table is full: it rolls back, and answers.
  connection.query = function (this: typeof connection, ...args: Parameters<typeof query>) {
    if (!String(args[0]).includes(DISTRESS)) return query.apply(this, args)
    const answer = args[2] as unknown as (error: Error) => void
    const full = Object.assign(new Error('The total number of locks exceeds the lock table size'), { errno: 1206, code: 'ER_LOCK_TABLE_FULL', sqlState: 'HY000' })
    return query.call(this, 'rollback' as never, [], () => { answer(full) })
  } as typeof query
  connection.release()
  t.equal(await post(`update item set amount = 1 ${DISTRESS}`), 500)
  t.same(await labels(), [])
})

onEachDatabase('an ORM on a Kysely of the application\'s own', { ...automatic, kinds: ['sqlite'] }, async (t, { database, labels }) => {
  const owner = await database.connect()
  const orm = await database.connect({ driverOptions: owner.driver.getConnection().getClient() } as never)
  const { default: Fastify } = await import('fastify')
  const { default: scopedDb } = await import('../../plugin.ts')
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'own-kysely' })
  app.post('/', async request => {
    request.db.create(Item, { label: 'a' })
    await request.db.flush()
    await t.rejects(request.db.insert(Item, { label: 'a', amount: 0 }))
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['a'])
  await app.close()
  await orm.close()
})

onEachDatabase('a connection that dies in the transaction', { ...automatic, kinds: servers }, async (t, { app, labels, database, assertClean, dialect }) => {
  const kill = async () => {
    const [{ id }] = await db.session.execute<[{ id: number }]>(`select ${dialect.connectionId} as id`)
    await database.witness.driver.execute(dialect.kill(id))
  }
  app.post('/statement', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await kill()
    return request.db.create(Item, { label: 'b' })
  })
  app.post('/commit', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await kill()
    return 'ok'
  })
  app.post('/rollback', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await kill()
    throw new Error('roll back')
  })
  for (const url of ['/statement', '/commit', '/rollback']) {
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 500, url)
    await assertClean()
  }
  t.same(await labels(), [])
})

onEachDatabase('a BEGIN that fails gives its connection back', { plugin: { commitOnTeardown: true, beginWithFirst: false }, orm: { pool: { max: 1 } }, kinds: servers }, async (t, { app, orm, labels }) => {
  app.post('/', async request => request.db.create(Item, { label: 'a' }))
  await app.ready()
  await db.run(async session => await session.count(Item))
  let fails = 1
  await rewrite(orm, sql => sql === 'begin' && fails-- > 0 ? 'begin nonsense' : sql)
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200, 'the place in the pool is free')
  t.same(await labels(), ['a'])
})

onEachDatabase('a query that has timed out is not waited for by the question whether it has rolled back', { ...automatic, kinds: ['mysql'] }, async (t, { app, database, labels, orm }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await t.rejects(request.db.execute('do sleep(100) -- times out'), { code: 'PROTOCOL_SEQUENCE_TIMEOUT' })
    const [{ id }] = await database.witness.em.fork().execute<[{ id: number }]>("select id from information_schema.processlist where info like '%-- times out'")
    await t.rejects(request.db.insert(Item, { label: 'after', amount: 0 }), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    await database.witness.em.fork().execute(`kill query ${id}`)
    return 'ok'
  })
  await app.ready()
  await app.db.run(async session => await session.count(Item))
  const pool = await orm.driver.getConnection().getNativeClient() as Pool
  const connection = await new Promise<PoolConnection>((resolve, reject) => { pool.getConnection((error, connection) => { if (error) reject(error); else resolve(connection) }) })
  const { query } = connection
  connection.query = function (this: typeof connection, ...[sql, ...rest]: Parameters<typeof query>) {
    const hasTimeout = String(sql).endsWith('-- times out')
    return query.apply(this, [hasTimeout ? { sql, timeout: 100 } as never : sql, ...rest])
  } as typeof query
  connection.release()
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(await labels(), [])
})
