/** Transactions of their own inside a savepoint. */
import { defineEntity, p, ref, TransactionPropagation, Type } from '@mikro-orm/core'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item, PartSchema as Part, type Item as Row } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { createShop, CustomerSchema, describe, OrderSchema, shopEntities, shopRows } from '../support/shop-entities.ts'

// SQLite has one connection.
const automatic = { plugin: { commitOnTeardown: true }, kinds: servers }
const ALONE = { propagation: TransactionPropagation.REQUIRES_NEW }

onEachDatabase('a savepoint holds what is written after a transaction of its own inside it', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const { db: session } = request
    const kept = session.create(Item, { label: 'kept' })
    await session.transactional(async () => {
      await session.transactional(async em => { em.create(Item, { label: 'alone' }) }, ALONE)
      session.create(Item, { label: 'lost' })
      kept.label = 'changed'
      await session.flush()
      await session.transactional(async em => { em.create(Item, { label: 'lost, too' }) })
      throw new Error('declined')
    }).catch(() => {})
    return { label: kept.label }
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.same([reply.statusCode, reply.json()], [200, { label: 'kept' }])
  t.same(await labels(), ['alone', 'kept'])
})

onEachDatabase('a flush that fails after one leaves the work outside the savepoint alone', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const { db: session } = request
    session.create(Item, { label: 'kept' })
    await session.transactional(async () => {
      await session.transactional(async em => { await em.count(Item) }, ALONE)
      session.create(Item, { label: 'kept' })
      await session.flush()
    }).catch(() => {})
    session.create(Item, { label: 'after' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['after', 'kept'])
})

onEachDatabase('a transaction of its own leaves alone what it has only read', automatic, async (t, { app, database: { witness } }) => {
  app.post('/', async request => {
    const { db: session } = request
    const [from, to] = [session.create(Item, { label: 'from' }), session.create(Item, { label: 'to' })]
    await session.transactional(async em => { em.create(Item, { label: 'other' }) }, ALONE)
    const part = session.create(Part, { item: from, name: 'part' })
    await db.commit()
    to.parts.add(part)
    part.name = 'moved'
    await session.flush()
    await session.transactional(async () => {
      await session.transactional(async em => { await em.find(Item, {}, { populate: ['parts'] }) }, ALONE)
      from.amount = 1
    })
    return { item: part.item.label, name: part.name, from: from.parts.length, to: to.parts.length }
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.same([reply.statusCode, reply.json()], [200, { item: 'to', name: 'moved', from: 0, to: 1 }])
  t.match(await witness.em.fork().findOneOrFail(Part, 1, { populate: ['item'] }), { name: 'moved', item: { label: 'to' } })
  t.match(await witness.em.fork().findOneOrFail(Item, { label: 'from' }), { amount: 1 })
})

onEachDatabase('the session shows what a transaction of its own has written', automatic, async (t, { app, database: { witness } }) => {
  app.post('/', async request => {
    const { db: session } = request
    const [read, changed] = [session.create(Item, { label: 'read' }), session.create(Item, { label: 'changed' })]
    session.create(Part, { item: read, name: 'first' })
    await db.commit()
    read.amount = 1
    changed.amount = 1
    await session.flush()
    await db.commit()
    changed.amount = 2
    const part = await session.transactional(async em => {
      const [item, other] = await Promise.all([em.findOneOrFail(Item, { label: 'read' }), em.findOneOrFail(Item, { label: 'changed' })])
      await em.transactional(async () => { item.amount = 3 })
      other.label = 'renamed'
      const created = em.create(Part, { item, name: 'part' })
      await em.flush()
      item.label = 'read and renamed'
      return created
    }, ALONE)
    changed.label = 'kept'
    t.equal(part.item, read)
    part.name = 'renamed'
    return { label: read.label, amount: read.amount, parts: read.parts.getItems(false).length }
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.same([reply.statusCode, reply.json()], [200, { label: 'read and renamed', amount: 3, parts: 2 }])
  t.match(await witness.em.fork().findAll(Item, { orderBy: { id: 'asc' } }), [{ label: 'read and renamed', amount: 3 }, { label: 'kept', amount: 2 }])
  t.match(await witness.em.fork().findOneOrFail(Part, 2), { name: 'renamed' })
})

onEachDatabase('a transaction of its own that fails leaves alone what a flush was writing when it began', automatic, async (t, { app, orm, labels }) => {
  const [writing, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  orm.em.getEventManager().registerSubscriber({
    async beforeCreate () {
      writing.resolve()
      await begun.promise
    }
  })
  app.post('/', async request => {
    const item = request.db.create(Item, { label: 'kept' })
    const flushed = request.db.flush()
    await writing.promise
    await request.db.transactional(async () => {
      begun.resolve()
      await flushed
      throw new Error('declined')
    }, ALONE).catch(() => {})
    return { id: item.id }
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.same([reply.statusCode, reply.json()], [200, { id: 1 }])
  t.same(await labels(), ['kept'])
})

onEachDatabase('a transaction of its own that fails leaves alone what the session has loaded meanwhile', automatic, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Part, { item: em.create(Item, { label: 'loaded' }), name: 'part' })
  await em.flush()
  app.get('/', { config: { db: { begin: 'statement' } } }, async request => {
    const part = await request.db.findOneOrFail(Part, 1)
    const [begun, loaded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await Promise.all([
      request.db.transactional(async () => {
        begun.resolve()
        await loaded.promise
        throw new Error('declined')
      }, ALONE).catch(() => {}),
      begun.promise.then(async () => { await request.db.find(Item, {}) }).then(loaded.resolve)
    ])
    return { label: part.item.label }
  })
  t.same((await app.inject('/')).json(), { label: 'loaded' })
})

onEachDatabase('a transaction of its own that fails brings back nothing that was rolled back meanwhile', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const [begun, rolledBack] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    request.db.create(Item, { label: 'lost' })
    await Promise.all([
      request.db.transactional(async () => {
        begun.resolve()
        await rolledBack.promise
        throw new Error('declined')
      }, ALONE).catch(() => {}),
      begun.promise.then(async () => { await db.rollback() }).then(rolledBack.resolve)
    ])
    request.db.create(Item, { label: 'kept' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['kept'])
})

onEachDatabase('a transaction of its own that finds what the session has removed writes nothing of its changes', automatic, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Part, { item: em.create(Item, { label: 'kept' }), name: 'kept' })
  await em.flush()
  app.post('/', async ({ db: session }, reply) => {
    const part = await session.findOneOrFail(Part, 1, { populate: ['item'] })
    session.remove(part)
    await session.flush()
    part.item.amount = 1
    await session.transactional(async em => { await em.find(Item, {}, { populate: ['parts'] }) }, ALONE)
    reply.code(404)
    return {}
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 404)
  t.match(await witness.em.fork().find(Item, {}, { populate: ['parts'] }), [{ amount: 0, parts: [{ name: 'kept' }] }])
})

onEachDatabase('the session goes on with the version that a transaction of its own has written', { ...automatic, orm: { entities: shopEntities } }, async (t, { app, orm }) => {
  await createShop(orm)
  const em = orm.em.fork()
  em.create(CustomerSchema, { name: 'Ada', data: { tags: ['old'] }, address: { street: 'Old Street' }, bought: new Date(0) })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const customer = await session.findOneOrFail(CustomerSchema, 1)
    await db.commit()
    const friend = await session.transactional(async em => {
      const other = await em.findOneOrFail(CustomerSchema, 1)
      other.name = 'Eve'
      other.data?.tags.push('new')
      const friend = em.create(CustomerSchema, { name: 'Rob', friend: ref(other) })
      em.create(OrderSchema, { title: 'first', customer: friend })
      return friend
    }, ALONE)
    t.equal(friend.friend?.unwrap(), customer)
    customer.email = 'ada@example.com'
    await session.flush()
    return { shown: describe(customer), bought: customer.bought }
  })
  const rows = ['Eve EVE ada@example.com v3 ["old","new"] Old Street [] {}', 'Rob ROB - v1 null - [first] {}']
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { shown: rows[0], bought: new Date(0).toISOString() })
  t.same(await shopRows(orm), rows)
})

onEachDatabase('what a branch makes, removes or keeps beside one that fails stays so', automatic, async (t, { app, labels, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Item, { label: 'kept' })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const kept = await session.findOneOrFail(Item, { label: 'kept' })
    session.remove(kept)
    const taken = session.create(Item, { label: 'taken back' })
    const removed = session.create(Item, { label: 'removed' })
    const { promise, resolve } = Promise.withResolvers<void>()
    const alone = session.transactional(async em => {
      await em.count(Item)
      await promise
      throw new Error('declined')
    }, ALONE)
    session.persist(kept)
    session.remove(removed).remove(taken).persist(taken)
    session.remove(session.create(Item, { label: 'never' }))
    session.create(Item, { label: 'made' })
    resolve()
    await t.rejects(alone, { message: 'declined' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['kept', 'made', 'taken back'])
})

onEachDatabase('what a savepoint writes beside one that fails stays', automatic, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Item, { label: 'changed' })
  await em.flush()
  app.post('/', async ({ db: session }) => {
    const item = await session.findOneOrFail(Item, { label: 'changed' })
    const [open, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const alone = session.transactional(async em => {
      await em.count(Item)
      open.resolve()
      await over.promise
      throw new Error('declined')
    }, ALONE)
    await open.promise
    await session.transactional(async () => { item.amount = 1 })
    over.resolve()
    await t.rejects(alone, { message: 'declined' })
    return { amount: item.amount }
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { amount: 1 })
  t.match(await witness.em.fork().find(Item, {}), [{ label: 'changed', amount: 1 }])
})

onEachDatabase('a transaction of its own gives nothing back of what the session has deleted, although it can read it', automatic, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  for (const label of ['known', 'read']) {
    const item = em.create(Item, { label })
    for (const name of ['deleted', 'kept']) em.create(Part, { name, item })
  }
  await em.flush()
  app.post<{ Querystring: { fails?: string } }>('/', async ({ db: session, query: { fails } }) => {
    const known = await session.findOneOrFail(Item, { label: 'known' }, { populate: ['parts'] })
    // Without a word of the item that the second one belongs to.
    for (const { id } of await witness.em.fork().find(Part, { name: 'deleted' })) session.remove(session.getReference(Part, id))
    await session.transactional(async () => {
      await session.transactional(async em => { await em.find(Item, {}, { populate: ['parts'] }) }, ALONE)
      if (fails !== undefined) throw new Error('declined')
    }).catch(() => {})
    const read = await session.findOneOrFail(Item, { label: 'read' })
    if (fails === undefined) t.equal(read.parts.isInitialized(), true, 'what was read there is in the session')
    else await read.parts.init()
    t.equal(await session.findOne(Part, { name: 'deleted' }), null)
    if (fails !== undefined) await db.rollback()
    return [known, read].map(item => item.parts.getItems().map(({ name }) => name))
  })
  for (const url of ['/?fails', '/']) t.same((await app.inject({ method: 'POST', url })).json(), [['kept'], ['kept']], url)
  t.match(await witness.em.fork().find(Part, {}), [{ name: 'kept' }, { name: 'kept' }])
})

onEachDatabase('what is being written when one begins that fails stays', { ...automatic, orm: { entities: shopEntities } }, async (t, { app, orm }) => {
  await createShop(orm)
  const [writing, open, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  orm.em.getEventManager().registerSubscriber({
    async beforeUpdate () {
      writing.resolve()
      await open.promise
    }
  })
  app.post('/', async ({ db: session }) => {
    const customer = session.create(CustomerSchema, { name: 'Ada' })
    await session.flush()
    const savepoint = session.transactional(async () => { customer.name = 'Eve' }).finally(over.resolve)
    await writing.promise
    await t.rejects(session.transactional(async em => {
      await em.count(CustomerSchema)
      open.resolve()
      await over.promise
      throw new Error('declined')
    }, ALONE), { message: 'declined' })
    await savepoint
    return { shown: describe(customer) }
  })
  const rows = ['Eve EVE - v2 null - [] {}']
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { shown: rows[0] })
  t.same(await shopRows(orm), rows)
})

onEachDatabase('one that has failed when its session is committed already brings nothing back', automatic, async (t, { app, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Item, { label: 'there' })
  await em.flush()
  const made: { item: Row, last: () => void, both: Promise<unknown> }[] = []
  app.all('/', async ({ db: session }) => {
    const [first, last] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const item = await session.findOneOrFail(Item, { label: 'there' })
    const failing = async (over: Promise<void>) => await session.transactional(async () => {
      await over
      throw new Error('declined')
    }, ALONE)
    const before = failing(first.promise)
    item.amount = 1
    made.push({ item, last: last.resolve, both: Promise.allSettled([before, failing(last.promise)]) })
    first.resolve()
    await before.catch(() => {})
    return { amount: item.amount }
  })
  for (const method of ['GET', 'POST'] as const) t.same((await app.inject({ method, url: '/' })).json(), { amount: 0 })
  for (const { item, last, both } of made) {
    last()
    await both
    t.equal(item.amount, 0)
  }
})

onEachDatabase('one that is committed when its session is closed already has gone through', automatic, async (t, { app, orm, database: { witness } }) => {
  const em = witness.em.fork()
  em.create(Item, { label: 'there' })
  await em.flush()
  orm.em.getEventManager().registerSubscriber({ async afterTransactionCommit () { await db.remove() } })
  await app.db.run(async session => {
    await session.findOneOrFail(Item, { label: 'there' })
    t.equal(await session.transactional(async em => {
      (await em.findOneOrFail(Item, { label: 'there' })).amount = 1
      return 'done'
    }, ALONE), 'done')
  })
  t.match(await witness.em.fork().find(Item, {}), [{ amount: 1 }])
})

/** Values that cannot be read at times. */
class FragileType extends Type<string, string> {
  static isBroken = false

  override convertToJSValue (value: string): string {
    if (FragileType.isBroken) throw new Error('broken')
    return value
  }

  override getColumnType (): string {
    return 'varchar(20)'
  }
}

const Fragile = defineEntity({ name: 'Fragile', properties: { id: p.integer().primary(), text: p.type(FragileType) } })

onEachDatabase('one that is committed has gone through, although the session cannot show what it has written', { ...automatic, orm: { entities: [Fragile] } }, async (t, { app, orm }) => {
  await orm.schema.create()
  await orm.em.fork().insert(Fragile, { text: 'old' })
  app.post('/', async ({ db: session }) => {
    await session.findOneOrFail(Fragile, 1)
    await db.commit()
    await session.transactional(async em => {
      (await em.findOneOrFail(Fragile, 1)).text = 'new'
      await em.flush()
      FragileType.isBroken = true
    }, ALONE)
    FragileType.isBroken = false
    return 'ok'
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' }, 'nobody knows what the session shows')
  t.match(await orm.em.fork().find(Fragile, {}), [{ text: 'new' }])
})
