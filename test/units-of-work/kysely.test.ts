import { setTimeout as sleep } from 'node:timers/promises'
import { sql, type Kysely, type KyselyPlugin } from 'kysely'
import type { FastifyRequest } from 'fastify'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { running } from '../support/dialect.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

interface Tables {
  item: { id: number, label: string, amount: number }
}

const kyselyOf = (request: FastifyRequest) => request.db.getKysely<Tables>()

const shouting: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  transformResult: async ({ result }) => ({ ...result, rows: result.rows.map(row => ({ ...row, label: String(row['label']).toUpperCase() })) })
}

onEachDatabase('em.getKysely() inside the scope\'s transaction', automatic, async (t, { app, labels, kind }) => {
  app.post('/', async request => {
    const kysely = kyselyOf(request)
    t.equal(kysely.isTransaction, true)
    t.match(await kysely.executeQuery(kysely.selectFrom('item').selectAll()), { rows: [] })
    await kysely.insertInto('item').values({ label: 'a', amount: 1 } as never).execute()
    await request.db.transactional(async em => {
      await em.getKysely<Tables>().insertInto('item').values({ label: 'b', amount: 2 } as never).execute()
    })
    const labelsOf = async (db: Kysely<Tables>) => (await db.selectFrom('item').select('label').orderBy('label').execute()).map(row => row.label)
    t.same(await labelsOf(kysely), ['a', 'b'])
    t.same(await labelsOf(kysely.withPlugin(shouting)), ['A', 'B'])
    t.same(await labelsOf(kysely.withPlugin(shouting).withoutPlugins()), ['a', 'b'])
    if (kind === 'sqlite') t.same(await labelsOf(kysely.withSchema('main')), ['a', 'b'])
    const rows: string[] = []
    for await (const row of kysely.withPlugin(shouting).selectFrom('item').select('label').orderBy('label').stream()) rows.push(row.label)
    t.same(rows, ['A', 'B'])
    t.same(await kysely.connection().execute(async db => (await db.selectFrom('item').selectAll().execute()).length), 2)
    t.throws(() => kysely.introspection, /not available inside a scope/)
    for (const refused of [() => kysely.transaction(), () => kysely.startTransaction()]) t.throws(refused, /em\.transactional\(\)/)
    await t.rejects(kysely.destroy(), /not available inside a scope/)
    throw new Error('roll back')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back' })
  t.same(await labels(), [])
})

onEachDatabase('em.getKysely() without commitOnTeardown', manual, async (t, { app, labels }) => {
  app.post('/', async request => {
    const kysely = kyselyOf(request)
    t.equal(kysely.isTransaction, false)
    await kysely.insertInto('item').values({ label: 'autocommit', amount: 1 } as never).execute()
    await kysely.transaction().execute(async trx => await trx.insertInto('item').values({ label: 'transaction', amount: 1 } as never).execute())
    const trx = await kysely.startTransaction().execute()
    await trx.insertInto('item').values({ label: 'controlled', amount: 1 } as never).execute()
    await trx.rollback().execute()
    await request.db.transactional(async em => {
      t.equal(em.getKysely().isTransaction, true)
      await em.getKysely<Tables>().insertInto('item').values({ label: 'em.transactional', amount: 1 } as never).execute()
    })
    throw new Error('what was committed stays')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'what was committed stays' })
  t.same(await labels(), ['autocommit', 'em.transactional', 'transaction'])
})

onEachDatabase('a Kysely that is kept beyond its scope begins nothing', manual, async (t, { app }) => {
  const kysely = await app.db.run(async session => session.getKysely<Tables>())
  for (const late of [() => kysely.transaction(), () => kysely.startTransaction()]) t.throws(late, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
})

onEachDatabase('a read that is aborted is stopped on the server, and fails with the reason', { ...automatic, kinds: servers }, async (t, { app, database, dialect }) => {
  const text = `select ${dialect.sleep(62)}`
  const isRunning = async () => (await running(database, text)).length > 0
  let client = new AbortController()
  app.get<{ Querystring: { how: 'cancel query' | 'kill session' } }>('/', async request => {
    const kysely = kyselyOf(request)
    await kysely.executeQuery(sql.raw(text).compile(kysely), { signal: client.signal, inflightQueryAbortStrategy: request.query.how })
  })
  for (const how of ['cancel query', 'kill session'] as const) {
    client = new AbortController()
    const answer = app.inject({ url: '/', query: { how } })
    while (!await isRunning()) await sleep(10)
    client.abort(new Error('not wanted any more'))
    t.match((await answer).json(), { statusCode: 500, message: 'not wanted any more' })
    while (await isRunning() || app.db.pool.inUse.size > 0) await sleep(10)
    t.pass('long before it would have ended')
  }
})

onEachDatabase('what fails on a connection without the database having a part in it is told as it is', manual, async (t, { app }) => {
  app.get('/', async request => await request.db.getKysely().connection().execute(async () => { throw new Error('mine') }))
  t.match((await app.inject('/')).json(), { statusCode: 500, message: 'mine' })
})

onEachDatabase('who has the connection of the transaction sends what he sends on it, and nothing that would wait for it', automatic, async (t, { app, labels }) => {
  const refused = { code: 'FST_SCOPED_DB_GIVEN_CONNECTION' }
  app.post('/', async request => {
    const over = new Gate()
    const { later } = await kyselyOf(request).connection().execute(async connection => {
      await connection.insertInto('item').values({ label: 'on it', amount: 1 } as never).execute()
      await t.rejects(request.db.count(Item), refused)
      await t.rejects(request.db.insert(Item, { label: 'beside', amount: 1 }), refused)
      await t.rejects(request.db.transactional(async em => await em.count(Item)), refused)
      return { later: over.opened.then(async () => await request.db.count(Item)) }
    })
    over.open()
    t.equal(await later, 1, 'what it has begun may go on once it is over')
    await t.rejects(kyselyOf(request).connection().execute(async () => { throw new Error('mine') }), { message: 'mine' })
    await request.db.insert(Item, { label: 'after', amount: 1 })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['after', 'on it'])
})

onEachDatabase('a stream outside that fails while the transaction begins does it no harm', { ...automatic, kinds: ['sqlite'] }, async (t, { app, labels }) => {
  app.post('/', { config: { db: { begin: 'write' } } }, async request => {
    const tooMuch = sql<number>`case label when 'b' then abs(-9223372036854775808) else 1 end`
    const rows = kyselyOf(request).selectFrom('item').select(tooMuch.as('n')).orderBy('label').stream()
    t.same(await rows.next(), { done: false, value: { n: 1 } })
    const written = request.db.insert(Item, { label: 'c', amount: 1 })
    await t.rejects(rows.next(), { message: 'integer overflow' })
    await written
    return 'ok'
  })
  await app.ready()
  await app.db.run(async session => { for (const label of ['a', 'b']) await session.insert(Item, { label, amount: 1 }) })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['a', 'b', 'c'])
})

onEachDatabase('what is aborted inside the transaction fails with the reason', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const kysely = kyselyOf(request)
    await kysely.insertInto('item').values({ label: 'a', amount: 1 } as never).execute()
    const client = new AbortController()
    const aborted = kysely.selectFrom('item').selectAll().execute({ signal: client.signal })
    client.abort(new Error('not wanted any more'))
    await aborted
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'not wanted any more' })
  t.same(await labels(), [])
})

onEachDatabase('executors of plugins and connections that Kysely derives', automatic, async (t, { app, orm }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 1 })
    const executor = kyselyOf(request).getExecutor()
    const query = kyselyOf(request).selectFrom('item').select('label').compile()
    const derived = [executor.withPlugin(shouting), executor.withPlugins([shouting]), executor.withPluginAtFront(shouting)]
    for (const one of derived) {
      t.same(one.plugins.length, executor.plugins.length + 1)
      t.same((await one.executeQuery(query)).rows, [{ label: 'A' }])
      t.same(one.withoutPlugins().plugins, [])
    }
    t.equal(executor.adapter, orm.driver.getConnection().getClient().getExecutor().adapter)
    await executor.provideConnection(async connection => {
      const { rows } = await executor.withConnectionProvider({ provideConnection: async consumer => await consumer(connection) }).executeQuery(query)
      t.same(rows, [{ label: 'a' }])
    })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
})
