import { TransactionPropagation } from '@mikro-orm/core'
import Fastify from 'fastify'
import { Readable } from 'node:stream'
import scopedDb, { db } from '../../plugin.ts'
import { isolate } from '../../testing.ts'
import type { SqlORM } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { whileIsolated } from '../support/while-isolated.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

/** What can be seen inside of the isolation, by a session of the test's own. */
async function inside (orm: SqlORM): Promise<string[]> {
  const items = await orm.em.fork().find(Item, {}, { orderBy: { label: 'asc' } })
  return items.map(({ label }) => label)
}

const insert = (label: string) => ({ label, amount: 0 })

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

whileIsolated('db.run() and transactions of their own inside of a request', automatic, async (t, { app, orm }) => {
  app.post('/', async request => {
    await request.db.insert(Item, insert('request'))
    await app.db.run(async session => { session.create(Item, { label: 'run' }) })
    await t.rejects(app.db.run(async session => {
      await session.insert(Item, insert('dropped'))
      await request.db.insert(Item, insert('dropped with it'))
      throw new Error('roll back')
    }), { message: 'roll back' })
    await request.db.transactional(async em => { await em.insert(Item, insert('requires new')) }, { propagation: TransactionPropagation.REQUIRES_NEW })
    await orm.em.getDriver().execute('select 1')
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await inside(orm), ['request', 'requires new', 'run'])
})

whileIsolated('what was opened inside of a request ends after it', automatic, async (t, { app, orm }) => {
  let go = Promise.withResolvers<void>()
  let job: Promise<void> | undefined
  app.post('/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    await request.db.insert(Item, insert(status))
    const written = Promise.withResolvers<void>()
    job = app.db.run(async session => {
      await session.insert(Item, insert(`job of ${status}`))
      await session.transactional(async em => { await em.insert(Item, insert(`nested in job of ${status}`)) })
      written.resolve()
      await go.promise
    })
    await written.promise
    return await reply.code(Number(status)).send({})
  })
  t.equal((await app.inject({ method: 'POST', url: '/200' })).statusCode, 200)
  go.resolve()
  await job
  t.same(await inside(orm), ['200', 'job of 200', 'nested in job of 200'])
  go = Promise.withResolvers()
  t.equal((await app.inject({ method: 'POST', url: '/409' })).statusCode, 409)
  go.resolve()
  await t.rejects(job ?? Promise.resolve(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  t.same(await inside(orm), ['200', 'job of 200', 'nested in job of 200'])
})

whileIsolated('a statement waits for what was opened inside, and is not rolled back with it', automatic, async (t, { orm, labels }) => {
  const [written, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const order: string[] = []
  await db.run(async session => {
    await session.insert(Item, insert('first'))
    const job = db.run(async session => {
      await session.insert(Item, insert('inside'))
      written.resolve()
      await go.promise
      order.push('inside')
      throw new Error('no')
    })
    await written.promise
    const second = session.insert(Item, insert('second')).then(() => order.push('second'))
    // Asks on another connection: a statement that did not wait would be through by then.
    await labels()
    go.resolve()
    await t.rejects(job, { message: 'no' })
    await second
  })
  t.same(order, ['inside', 'second'])
  t.same(await inside(orm), ['first', 'second'])
})

whileIsolated('what is inside of a request that has rolled back can do nothing more', automatic, async (t, { app, orm }) => {
  const go = Promise.withResolvers<void>()
  const job = Promise.withResolvers<void>()
  app.post('/', async (request, reply) => {
    await request.db.insert(Item, insert('request'))
    const begun = Promise.withResolvers<void>()
    job.resolve(app.db.run(async session => {
      await session.insert(Item, insert('job'))
      begun.resolve()
      await go.promise
      await t.rejects(session.insert(Item, insert('late')), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
      await t.rejects(session.transactional(async () => {}), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
      throw new Error('the job gives up')
    }))
    await begun.promise
    return await reply.code(400).send({})
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 400)
  go.resolve()
  await t.rejects(job.promise, { message: 'the job gives up' })
  t.same(await inside(orm), [])
})

whileIsolated('requests that overlap take turns', automatic, async (t, { app, orm }) => {
  app.post('/:label', async request => {
    const { label } = request.params as { label: string }
    await request.db.insert(Item, insert(label))
    await request.db.insert(Item, insert(`${label} again`))
    if (label === 'b') throw new Error('b fails')
    return 'ok'
  })
  const replies = await Promise.all(['a', 'b', 'c'].map(async label => await app.inject({ method: 'POST', url: `/${label}` })))
  t.same(replies.map(({ statusCode }) => statusCode), [200, 500, 200])
  t.same(await inside(orm), ['a', 'a again', 'c', 'c again'])
})

whileIsolated('waiting too long for a turn is a 503', { plugin: { commitOnTeardown: true, acquireTimeout: 500 } }, async (t, { app, orm }) => {
  const arrived = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  app.post('/slow', async request => {
    await request.db.insert(Item, insert('slow'))
    arrived.resolve()
    await go.promise
    return 'ok'
  })
  app.post('/quick', async request => request.db.create(Item, { label: 'quick' }))
  const slow = app.inject({ method: 'POST', url: '/slow' })
  await arrived.promise
  t.match((await app.inject({ method: 'POST', url: '/quick' })).json(), { statusCode: 503, code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
  await t.rejects(inside(orm), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' }, 'what is outside any scope waits too')
  go.resolve()
  t.equal((await slow).statusCode, 200)
  t.same(await inside(orm), ['slow'])
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

onEachDatabase('release() ends what still runs, and lets nothing late through', { plugin: { commitOnTeardown: true, acquireTimeout: 1_000 } }, async (t, { app, orm, labels }) => {
  const em = orm.em.fork()
  await em.insertMany(Item, ['a', 'b'].map(insert))
  const isolation = await isolate(app)
  const reader = em.stream(Item, { orderBy: { label: 'asc' } })
  t.match(await reader.next(), { value: { label: 'a' } })
  const waiting = t.rejects(inside(orm), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' })
  const scope = app.db.open()
  const late = em.fork()
  await isolation.release()
  await waiting
  await t.rejects(reader.next(), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' }, 'the end of the rows would be a lie')
  await late.insert(Item, insert('for real'))
  await scope[Symbol.asyncDispose]()
  t.same(await labels(), ['a', 'b', 'for real'])
})

onEachDatabase('units of work that go on after release() can neither write nor commit', automatic, async (t, { app, labels }) => {
  const isolation = await isolate(app)
  await using scope = app.db.open()
  await scope.session.insert(Item, insert('isolated'))
  await using unsent = app.db.open()
  unsent.session.create(Item, insert('unsent'))
  await isolation.release()
  await t.rejects(scope.session.insert(Item, insert('late')), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' })
  await t.rejects(scope.commit())
  await t.rejects(unsent.commit(), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' })
  t.same(await labels(), [])
})

onEachDatabase('release() is idempotent, and isolate() can be called again after it', automatic, async (t, { app, orm }) => {
  for (const label of ['first', 'second']) {
    const isolation = await isolate(app)
    await orm.em.fork().insert(Item, insert(label))
    t.same(await inside(orm), [label])
    await Promise.all([isolation.release(), isolation.release()])
    await isolation.release()
  }
  {
    await using isolation = await isolate(app)
    await orm.em.fork().insert(Item, insert(typeof isolation.release))
  }
  t.same(await inside(orm), [])
})

onEachDatabase('several databases of one application', automatic, async (t, { app, orm, addDatabase, labels }) => {
  const other = await addDatabase('other', { commitOnTeardown: true })
  const isolation = await isolate(app)
  await app.db.run(async session => {
    session.create(Item, { label: 'here' })
    app.db.use('other').session.create(Item as never, { label: 'there' } as never)
  })
  t.same([await inside(orm), await inside(other.orm)], [['here'], ['there']])
  await isolation.release()
  t.same([await labels(), await other.labels()], [[], []])
})

whileIsolated('reads from replicas', { ...manual, orm: { replicas: [{ name: 'replica' }] } as never, kinds: ['mysql'] }, async (t, { app, orm, labels }) => {
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

onEachDatabase('what cannot be isolated', automatic, async (t, { app, orm }) => {
  const bare = Fastify()
  await t.rejects(isolate(bare), { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
  const sharing = Fastify()
  await sharing.register(scopedDb, { orm })
  t.teardown(async () => { await sharing.close() })
  const isolation = await isolate(app)
  await t.rejects(isolate(app), { code: 'FST_SCOPED_DB_CANNOT_ISOLATE', message: /isolated already/ })
  await t.rejects(isolate(sharing), { code: 'FST_SCOPED_DB_CANNOT_ISOLATE' }, 'nor can its MikroORM in another application')
  await isolation.release()
})
