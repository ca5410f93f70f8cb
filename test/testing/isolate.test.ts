import { Readable } from 'node:stream'
import { db } from '../../plugin.ts'
import { isolate } from '../../testing.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { insert, inside } from '../support/isolated-items.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { whileIsolated } from '../support/while-isolated.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

onEachDatabase('what is committed is seen until release(), and by nobody else', automatic, async (t, { app, orm, labels, assertClean }) => {
  app.post('/', async (request, reply) => {
    reply.code(201)
    return request.db.create(Item, { label: 'posted' })
  })
  app.get('/', async request => await request.db.find(Item, {}))
  const isolation = await isolate(app)
  const created = await app.inject({ method: 'POST', url: '/' })
  t.equal(created.statusCode, 201)
  t.match((await app.inject('/')).json(), [{ label: 'posted', id: created.json().id }], 'the next request')
  t.same(await inside(orm), ['posted'], 'a session outside any scope')
  t.same(await labels(), [], 'another connection')
  await isolation.release()
  t.same(await inside(orm), [])
  t.same(await labels(), [])
  await assertClean()
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 201)
  t.same(await labels(), ['posted'], 'from here on it is for real')
})

whileIsolated('a request that fails rolls back what is its own', automatic, async (t, { app, orm, labels }) => {
  app.post('/:status/:label', async (request, reply) => {
    const { status, label } = request.params as { status: string, label: string }
    await request.db.insert(Item, insert(label))
    return await reply.code(Number(status)).send({})
  })
  await orm.em.fork().insert(Item, insert('seed'))
  for (const url of ['/200/a', '/409/b', '/200/c']) await app.inject({ method: 'POST', url })
  t.same(await inside(orm), ['a', 'c', 'seed'])
  const twice = await app.inject({ method: 'POST', url: '/200/a' })
  t.match(twice, { statusCode: 500 }, 'a unique violation')
  t.same(await inside(orm), ['a', 'c', 'seed'])
  t.same(await labels(), [])
})

whileIsolated('statements without a transaction that fail leave the rest alone', automatic, async (t, { orm }) => {
  const em = orm.em.fork()
  await em.insert(Item, insert('a'))
  await t.rejects(em.insert(Item, insert('a')), { name: 'UniqueConstraintViolationException' })
  await t.rejects(em.getConnection().execute('select * from nowhere'))
  t.same(await inside(orm), ['a'])
})

whileIsolated('transactions by hand, outside any scope', automatic, async (t, { orm }) => {
  const em = orm.em.fork()
  await em.transactional(async em => { await em.insert(Item, insert('kept')) })
  await t.rejects(em.transactional(async em => {
    await em.insert(Item, insert('dropped'))
    t.same(await inside(orm), ['dropped', 'kept'], 'what asks inside of it is inside of it')
    throw new Error('roll back')
  }), { message: 'roll back' })
  await em.begin()
  await em.insert(Item, insert('begun'))
  await em.commit()
  t.same(await inside(orm), ['begun', 'kept'])
})

whileIsolated('savepoints inside of requests', automatic, async (t, { app, orm }) => {
  app.post('/', async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'kept' })
      await t.rejects(em.transactional(async em => {
        await em.insert(Item, insert('dropped'))
        throw new Error('back')
      }), { message: 'back' })
    })
    await t.rejects(request.db.transactional(async em => {
      await em.insert(Item, insert('dropped'))
      throw new Error('back')
    }), { message: 'back' })
    request.db.create(Item, { label: 'after' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await inside(orm), ['after', 'kept'])
})

whileIsolated('without commitOnTeardown', manual, async (t, { app, orm, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'flushed' })
    await request.db.flush()
    request.db.create(Item, { label: 'committed' })
    await db.commit()
    await request.db.begin()
    await request.db.insert(Item, insert('dropped'))
    await request.db.rollback()
    throw new Error('what was flushed stays')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(await inside(orm), ['committed', 'flushed'])
  t.same(await labels(), [])
})

whileIsolated('work after the commit is done, and is isolated too', automatic, async (t, { app, orm, labels }) => {
  const done = Promise.withResolvers<void>()
  app.post('/', async request => {
    db.afterCommit(async () => {
      await app.db.run(async session => { session.create(Item, { label: 'after' }) })
      done.resolve()
    })
    return request.db.create(Item, { label: 'posted' })
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await done.promise
  t.same(await inside(orm), ['after', 'posted'])
  t.same(await labels(), [])
})

whileIsolated('db.commit(), db.rollback() and db.setRollbackOnly()', automatic, async (t, { app, orm }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'committed' })
    await db.commit()
    request.db.create(Item, { label: 'rolled back' })
    await request.db.flush()
    await db.rollback()
    request.db.create(Item, { label: 'doomed' })
    db.setRollbackOnly()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await inside(orm), ['committed'])
})

whileIsolated('streams', automatic, async (t, { app, orm }) => {
  app.get('/', async request => Readable.from(async function * () {
    for await (const { label } of request.db.stream(Item, { orderBy: { label: 'asc' } })) yield `${label}\n`
  }()))
  const em = orm.em.fork()
  await em.insertMany(Item, ['a', 'b', 'c'].map(insert))
  t.equal((await app.inject('/')).body, 'a\nb\nc\n')
  const stream = em.stream(Item, { orderBy: { label: 'asc' } })
  t.match(await stream.next(), { value: { label: 'a' } })
  await stream.return?.()
  await em.insert(Item, insert('d'))
  t.same(await inside(orm), ['a', 'b', 'c', 'd'])
})

whileIsolated('reads from replicas', { ...manual, orm: { replicas: [{ name: 'replica' }] } as never, kinds: servers }, async (t, { app, orm, labels }) => {
  app.get('/', async request => await request.db.find(Item, {}))
  await orm.em.fork().insert(Item, insert('written'))
  t.match((await app.inject('/')).json(), [{ label: 'written' }])
  t.same(await inside(orm), ['written'])
  t.same(await labels(), [])
})

whileIsolated('readOnly refuses what is known to write', automatic, async (t, { app, orm }) => {
  app.post('/', { config: { db: { readOnly: true, isolationLevel: 'serializable' } } }, async request => await request.db.insert(Item, insert('a')))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { code: 'FST_SCOPED_DB_READ_ONLY' })
  t.same(await inside(orm), [])
})

onEachDatabase('how a transaction is to begin is left to the outer one', automatic, async (t, { app, labels }) => {
  const isolation = await isolate(app)
  await app.db.run(async session => await session.insert(Item, insert('a')), { isolationLevel: 'serializable' })
  t.equal(await app.db.run(async session => await session.count(Item), { begin: 'statement', readOnly: true }), 1)
  await isolation.release()
  t.same(await labels(), [])
})
