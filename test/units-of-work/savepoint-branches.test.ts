/** A session that several branches of a handler use at once, while a savepoint is set. */
import { defineEntity, p, Type, type EntityManager } from '@mikro-orm/core'
import { setImmediate } from 'node:timers'
import { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part, type Item as Row } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { createShop, CustomerSchema, OrderSchema, shopEntities, shopRows, type Customer } from '../support/shop-entities.ts'

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

onEachDatabase('a savepoint that fails does not cut a flush of the session in two', { plugin: { commitOnTeardown: true } }, async (t, { app, orm, labels }) => {
  const [open, writing, thrown] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  orm.em.getEventManager().registerSubscriber({
    async afterCreate () {
      writing.resolve()
      await thrown.promise
    }
  })
  app.post('/', async ({ db: session }) => {
    await session.count(Item)
    await Promise.all([
      session.transactional(async () => {
        open.resolve()
        await writing.promise
        setImmediate(thrown.resolve)
        throw new Error('declined')
      }).catch(() => {}),
      open.promise.then(async () => {
        session.create(Item, { label: 'kept' })
        await session.flush()
      })
    ])
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.same(await labels(), ['kept'])
})

/** Runs `work` of the session while a savepoint is set in which `inside` is done, and which is rolled back after both. */
async function besideSavepoint (session: typeof db.session, inside: (em: typeof db.session) => Promise<void>, work: () => Promise<void>): Promise<void> {
  const [open, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const savepoint = session.transactional(async em => {
    await inside(em)
    open.resolve()
    await over.promise
    throw new Error('declined')
  }).catch(() => {})
  await open.promise
  await work()
  over.resolve()
  await savepoint
}

onEachDatabase('what the session has loaded while a savepoint was set, that fails, it still has', { plugin: { commitOnTeardown: true } }, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Part, { item: em.create(Item, { label: 'loaded' }), name: 'part' })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const part = await session.findOneOrFail(Part, 1)
    await besideSavepoint(session, async () => {}, async () => { await session.find(Item, {}) })
    part.item.amount++
    return { label: part.item.label }
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { label: 'loaded' })
  t.match(await witness.em.fork().findOneOrFail(Item, 1), { label: 'loaded', amount: 1 })
})

onEachDatabase('what the session has read of a savepoint that fails it shows as it was before', { plugin: { commitOnTeardown: true } }, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  const labels = ['inside', 'inside the second', 'beside']
  for (const label of labels) em.create(Item, { label })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const increase = async (session: EntityManager, label: string) => {
      for (const item of await session.find(Item, { label })) item.amount++
      await session.flush()
    }
    let found: Row[] = []
    await besideSavepoint(session, async em => {
      await increase(em, 'inside')
      await em.transactional(async em => { await increase(em, 'inside the second') })
    }, async () => {
      await increase(session, 'beside')
      found = await session.find(Item, {}, { orderBy: { id: 'asc' } })
      t.same(found.map(({ amount }) => amount), [1, 1, 1])
    })
    t.same(found.map(({ amount }) => amount), [0, 0, 0])
    for (const item of found) item.amount += 2
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.match(await witness.em.fork().find(Item, {}), labels.map(() => ({ amount: 2 })))
})

for (const ends of [true, false]) {
  onEachDatabase(`what the session and a savepoint that ${ends ? 'succeeds' : 'fails'} both read is one entity`, { plugin: { commitOnTeardown: true }, orm: { entities: shopEntities } }, async (t, { app, orm }) => {
    await createShop(orm)
    const em = orm.em.fork()
    const customer = em.create(CustomerSchema, { name: 'Ada', data: { tags: ['old'] }, address: { street: 'Old Street' } })
    em.create(OrderSchema, { title: 'first', customer })
    await em.flush()
    app.post('/', async ({ db: session }) => {
      const open = Promise.withResolvers<void>()
      const read = async (em: EntityManager) => await em.findOneOrFail(CustomerSchema, { name: 'Ada' }, { populate: ['orders'] })
      const [inside, beside] = await Promise.all([
        (async () => {
          let inside: Customer | undefined
          await session.transactional(async em => {
            open.resolve()
            inside = await read(em)
            inside.name = 'Eve'
            inside.data?.tags.push('new')
            inside.orders.removeAll()
            await em.flush()
            if (!ends) throw new Error('declined')
          }).catch(() => {})
          return inside
        })(),
        open.promise.then(async () => await read(session))
      ])
      t.equal(inside, beside)
      t.match(beside, ends ? { name: 'Eve', data: { tags: ['old', 'new'] }, version: 2 } : { name: 'Ada', data: { tags: ['old'] }, version: 1 })
      beside.email = 'ada@example.com'
      await beside.orders.init()
      return { orders: beside.orders.length }
    })
    t.same((await app.inject({ method: 'POST', url: '/' })).json(), { orders: ends ? 0 : 1 })
    t.same(await shopRows(orm), [ends ? 'Eve EVE ada@example.com v3 ["old","new"] Old Street [] {}' : 'Ada ADA ada@example.com v2 ["old"] Old Street [first] {}'])
  })
}

onEachDatabase('what a savepoint that fails has read and removed is there again', { plugin: { commitOnTeardown: true } }, async (t, { app, database: { witness } }) => {
  await witness.em.fork().insert(Item, { label: 'kept', amount: 0 })
  app.post('/', async ({ db: session }) => {
    const found: Row[] = []
    await session.transactional(async em => {
      found.push(...await em.find(Item, {}))
      em.remove(found)
      await em.flush()
      throw new Error('declined')
    }).catch(() => {})
    for (const item of found) item.amount = 1
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.match(await witness.em.fork().find(Item, {}), [{ label: 'kept', amount: 1 }])
})

onEachDatabase('what a savepoint that fails has read can be loaded further', { plugin: { commitOnTeardown: true } }, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  const item = em.create(Item, { label: 'kept' })
  for (const name of ['first', 'second']) em.create(Part, { item, name })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const found: { item: Row }[] = []
    const fail = async (inside: (em: EntityManager) => Promise<void>) => {
      await session.transactional(async em => {
        await inside(em)
        throw new Error('declined')
      }).catch(() => {})
    }
    await fail(async em => { found.push(...await em.find(Part, {}, { populate: ['item.parts'] })) })
    found.length = 0
    await fail(async em => { found.push(...await em.find(Part, {})) })
    await fail(async em => {
      em.remove(await em.find(Part, {}))
      em.remove(await em.find(Item, {}, { populate: ['parts'] }))
      await em.flush()
    })
    const [part] = found
    await part?.item.parts.init()
    return { label: part?.item.label, parts: part?.item.parts.length }
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { label: 'kept', parts: 2 })
  t.match(await witness.em.fork().find(Item, {}, { populate: ['parts'] }), [{ label: 'kept', parts: [{ name: 'first' }, { name: 'second' }] }])
})

onEachDatabase('a savepoint that fails leaves to others what refers to them', { plugin: { commitOnTeardown: true } }, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  const item = em.create(Item, { label: 'old' })
  for (const name of ['old', 'without']) em.create(Part, { item, name })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const old = await session.findOneOrFail(Item, 1, { populate: ['parts'] })
    let other: Row | undefined
    await besideSavepoint(session, async () => { for (const part of old.parts.getItems().slice(1)) part.item = null as never }, async () => {
      session.create(Part, { item: old, name: 'new' })
      other = session.create(Item, { label: 'other' })
      for (const part of old.parts.getItems().slice(0, 1)) part.item = other
    })
    return { old: old.parts.getItems().map(({ name }) => name), other: other?.parts.length }
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { old: ['old', 'without', 'new'], other: 0 })
  t.match(await witness.em.fork().find(Part, {}, { populate: ['item'], orderBy: { id: 'asc' } }), ['old', 'without', 'new'].map(name => ({ name, item: { label: 'old' } })))
})

onEachDatabase('what the session has flushed beside a savepoint that fails is undone: what it has made or removed is flushed again', { plugin: { commitOnTeardown: true } }, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  for (const label of ['changed', 'removed']) em.create(Item, { label, amount: 0 })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const [changed, removed] = await session.find(Item, {}, { orderBy: { id: 'asc' } }) as [Row, Row]
    await besideSavepoint(session, async () => {}, async () => {
      changed.amount = 1
      session.remove(removed)
      session.create(Item, { label: 'made', amount: 0 })
      await session.flush()
    })
    t.equal(changed.amount, 0)
    t.equal(await session.count(Item, { label: 'made' }), 1, 'it is flushed again before a query')
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.match(await witness.em.fork().find(Item, {}, { orderBy: { label: 'asc' } }), [{ label: 'changed', amount: 0 }, { label: 'made' }])
  t.equal(await witness.em.fork().count(Item), 2)
})

onEachDatabase('what is made before a savepoint, written inside it and then rolled back can be removed', { plugin: { commitOnTeardown: true } }, async (t, { app, labels }) => {
  app.post('/', async ({ db: session }) => {
    const [open, found] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let item: Row | undefined
    await Promise.all([
      (async () => {
        await session.transactional(async () => {})
        item = session.create(Item, { label: 'removed' })
      })(),
      (async () => {
        await t.rejects(session.transactional(async () => {
          open.resolve()
          await found.promise
          throw new Error('declined')
        }), { message: 'declined' })
        session.remove(item as Row)
      })(),
      (async () => {
        await open.promise
        await session.find(Item, {})
        found.resolve()
      })()
    ])
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

/** Can be read until it breaks. */
class Fragile extends Type<string, string> {
  static isBroken = false

  override convertToJSValue (value: string): string {
    if (Fragile.isBroken) throw new Error('broken')
    return value
  }

  override getColumnType (): string {
    return 'varchar(20)'
  }
}

const Vase = defineEntity({ name: 'Vase', properties: { id: p.integer().primary(), colour: p.type(Fragile) } })

onEachDatabase('a session that cannot be brought back to what it was can only be rolled back', { plugin: { commitOnTeardown: true }, orm: { entities: [Item, Part, Vase] } }, async (t, { app, orm, labels }) => {
  await createShop(orm)
  await orm.driver.execute("insert into vase (id, colour) values (1, 'blue')")
  app.post('/', async ({ db: session }) => {
    await t.rejects(session.transactional(async em => {
      await em.find(Vase, {})
      Fragile.isBroken = true
      throw new Error('declined')
    }), { message: 'declined' })
    Fragile.isBroken = false
    session.create(Item, { label: 'lost' })
    await t.rejects(session.flush(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    return 'ok'
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  t.same(await labels(), [])
})
