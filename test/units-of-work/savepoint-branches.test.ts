/** A session that several branches of a handler use at once, while a savepoint is set. */
import { setImmediate } from 'node:timers'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

onEachDatabase('what a savepoint removes while a flush of the session writes it is gone', { plugin: { commitOnTeardown: true } }, async (t, { app, orm, labels }) => {
  const [open, writing, removed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  orm.em.getEventManager().registerSubscriber({
    async beforeUpdate () {
      writing.resolve()
      await removed.promise
    }
  })
  app.post('/', async ({ db: session }) => {
    const item = session.create(Item, { label: 'removed' })
    session.create(Item, { label: 'kept' })
    await db.commit()
    await Promise.all([
      session.transactional(async em => {
        open.resolve()
        await writing.promise
        em.remove(item)
        // When the flush at the end of this has begun.
        setImmediate(removed.resolve)
      }),
      open.promise.then(async () => {
        item.amount = 1
        await session.flush()
      })
    ])
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.same(await labels(), ['kept'])
})

onEachDatabase('what a savepoint has lost can be persisted again while another is set', { plugin: { commitOnTeardown: true } }, async (t, { app, labels }) => {
  app.post('/', async ({ db: session }) => {
    await session.count(Item)
    await Promise.all([
      (async () => {
        const lost: object[] = []
        await session.transactional(async em => {
          lost.push(em.create(Item, { label: 'again' }))
          throw new Error('declined')
        }).catch(() => {})
        for (const item of lost) session.persist(item)
      })(),
      session.transactional(async () => {})
    ])
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.same(await labels(), ['again'])
})

onEachDatabase('a savepoint that fails beside a rollback brings back nothing of what that has forgotten', { plugin: { commitOnTeardown: true } }, async (t, { app, labels }) => {
  app.post('/', async ({ db: session }) => {
    session.create(Item, { label: 'lost' })
    await session.flush()
    await Promise.allSettled([
      db.rollback(),
      session.transactional(async em => {
        em.create(Item, { label: 'lost, too' })
        throw new Error('declined')
      })
    ])
    t.same(session.getUnitOfWork().getIdentityMap().values(), [])
    session.create(Item, { label: 'kept' })
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.same(await labels(), ['kept'])
})
