/** Units of work that overlap in isolation, where there is one connection for all. */
import { TransactionPropagation } from '@mikro-orm/core'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { insert, inside } from '../support/isolated-items.ts'
import { whileIsolated } from '../support/while-isolated.ts'

const automatic = { plugin: { commitOnTeardown: true } }

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
