/** What meets a flush of the same session: it is written by the next one, or the flush fails. */
import { ref } from '@mikro-orm/core'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { Item, ItemSchema, PartSchema } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import type { SqlORM } from '../support/databases.ts'
import { createShop, CustomerSchema, GroupSchema, OrderSchema, matchShop, shopEntities, shopRows, whileWriting, type Customer } from '../support/shop-entities.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const shop = { ...automatic, orm: { entities: [ItemSchema, PartSchema, ...shopEntities] } }

type Session = typeof db.session

/** Runs one handler on a customer that is in the database, and gives its reply. */
async function handle ({ app, orm }: Stage, handler: (em: Session, customer: Customer) => Promise<unknown>) {
  await createShop(orm)
  const seed = orm.em.fork()
  const customer = seed.create(CustomerSchema, { name: 'Ada', email: 'ada@example.com', data: { tags: ['old'] }, address: { street: 'Old Street' } })
  seed.create(OrderSchema, { title: 'first', customer })
  customer.groups.add(seed.create(GroupSchema, { name: 'readers' }))
  await seed.flush()
  app.post('/', async request => {
    const found = await request.db.findOneOrFail(CustomerSchema, { email: 'ada@example.com' }, { populate: ['orders', 'groups'] })
    return await handler(request.db, found) ?? 'ok'
  })
  return await app.inject({ method: 'POST', url: '/' })
}

const LATE: Record<string, { change: (em: Session, customer: Customer) => unknown, rows: string[] }> = {
  'another one is created': {
    change: em => { em.create(CustomerSchema, { name: 'Bob' }) },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {readers}', 'Bob BOB - v1 null - [] {}']
  },
  'it is changed again': {
    change: (_em, customer) => { customer.name = 'Zoe' },
    rows: ['Zoe ZOE ada@example.com v3 ["old"] Old Street [first] {readers}']
  },
  'it is changed back': {
    change: (_em, customer) => { customer.name = 'Ada' },
    rows: ['Ada ADA ada@example.com v3 ["old"] Old Street [first] {readers}']
  },
  'something else of it is changed': {
    change: (_em, customer) => { customer.email = null },
    rows: ['Eve EVE - v3 ["old"] Old Street [first] {readers}']
  },
  'its JSON is changed in place': {
    change: (_em, customer) => { customer.data?.tags.push('new') },
    rows: ['Eve EVE ada@example.com v3 ["old","new"] Old Street [first] {readers}']
  },
  'its embedded object is changed in place': {
    change: (_em, customer) => { if (customer.address !== null) customer.address.street = 'New Street' },
    rows: ['Eve EVE ada@example.com v3 ["old"] New Street [first] {readers}']
  },
  'one is added to its one to many': {
    change: (em, customer) => { customer.orders.add(em.create(OrderSchema, { title: 'second', customer })) },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first,second] {readers}']
  },
  'one is removed from its one to many': {
    change: (_em, customer) => { customer.orders.removeAll() },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [] {readers}']
  },
  'one is removed from its one to many and added again': {
    change: (_em, customer) => {
      const [order] = customer.orders.getItems()
      customer.orders.removeAll()
      if (order !== undefined) customer.orders.add(order)
    },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {readers}']
  },
  'one is added to its many to many': {
    change: (em, customer) => { customer.groups.add(em.create(GroupSchema, { name: 'writers' })) },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {readers,writers}']
  },
  'its many to many is emptied': {
    change: (_em, customer) => { customer.groups.removeAll() },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {}']
  },
  'another one of its many to many is changed from the other side': {
    change: (em, customer) => { em.create(GroupSchema, { name: 'writers' }).members.add(customer) },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {readers,writers}']
  },
  'its reference leads to a new one': {
    change: (em, customer) => { customer.friend = ref(em.create(CustomerSchema, { name: 'Bob' })) },
    rows: ['Eve EVE ada@example.com v3 ["old"] Old Street [first] {readers}', 'Bob BOB - v1 null - [] {}']
  },
  'it is persisted, in a list': {
    change: (em, customer) => { em.persist([customer]) },
    rows: ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {readers}']
  },
  'it is removed': { change: (em, customer) => { em.remove([customer, ...customer.orders]) }, rows: [] }
}

for (const [title, { change, rows }] of Object.entries(LATE)) {
  for (const then of ['nothing', 'a flush', 'a commit', 'a find'] as const) {
    onEachDatabase(`while an UPDATE is written, ${title}, and then ${then}`, shop, async (t, stage) => {
      const response = await handle(stage, async (em, customer) => {
        customer.name = 'Eve'
        whileWriting(stage.orm, 'nativeUpdate', () => change(em, customer))
        await em.flush()
        if (then === 'a flush') await em.flush()
        if (then === 'a commit') await db.commit()
        if (then === 'a find') await em.findAll(CustomerSchema)
      })
      t.equal(response.statusCode, 200, response.body)
      t.same((await shopRows(stage.orm)).sort(), rows.sort())
    })
  }
}

for (const then of ['nothing', 'a flush', 'a commit', 'a find'] as const) {
  onEachDatabase(`while a flush runs, orm.em is asked to persist and to remove, and then ${then}`, automatic, async (t, { app, orm, labels }) => {
    await orm.em.fork().insertMany(Item, [{ label: 'changed', amount: 0 }, { label: 'removed', amount: 0 }, { label: 'removed, in a list', amount: 0 }])
    app.post('/', async request => {
      const em = request.db
      const [changed, removed, listed] = await em.findAll(Item, { orderBy: { id: 'asc' } })
      if (changed === undefined || removed === undefined || listed === undefined) return
      changed.amount = 1
      const made = em.create(Item, { label: 'persisted' }, { persist: false })
      whileWriting(orm, 'nativeUpdate', () => {
        t.equal(orm.em.persist(made), em)
        t.equal(orm.em.remove(removed), em)
        orm.em.remove([listed])
      })
      await orm.em.flush()
      if (then === 'a flush') await orm.em.flush()
      if (then === 'a commit') await orm.em.commit()
      if (then === 'a find') await orm.em.findAll(Item)
      return 'ok'
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'ok')
    t.same(await labels(), ['changed', 'persisted'])
  })
}

onEachDatabase('while a collection is written, it is changed again', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    customer.groups.add(em.create(GroupSchema, { name: 'writers' }))
    whileWriting(stage.orm, 'syncCollections', () => {
      customer.groups.remove(({ name }) => name === 'readers')
      customer.groups.add(em.create(GroupSchema, { name: 'singers' }))
    })
    await em.flush()
    t.equal(customer.groups.isDirty(), true)
  })
  t.equal(response.statusCode, 200, response.body)
  t.same(await shopRows(stage.orm), ['Ada ADA ada@example.com v1 ["old"] Old Street [first] {singers,writers}'])
})

onEachDatabase('while an INSERT is written, what it inserts is changed', shop, async (t, stage) => {
  const response = await handle(stage, async em => {
    const bob = em.create(CustomerSchema, { name: 'Bob', data: { tags: [] } })
    whileWriting(stage.orm, 'nativeInsertMany', () => {
      bob.name = 'Rob'
      bob.data?.tags.push('late')
      bob.groups.add(em.create(GroupSchema, { name: 'late' }))
    })
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Ada/, 'Rob ROB - v2 ["late"] - [] {late}'])
})

onEachDatabase('while an INSERT is written, what it inserts is removed', shop, async (t, stage) => {
  const response = await handle(stage, async em => {
    const bob = em.create(CustomerSchema, { name: 'Bob' })
    whileWriting(stage.orm, 'nativeInsertMany', () => { em.remove(bob) })
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Ada/])
})

onEachDatabase('while a DELETE is written, what it deletes is persisted again', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    const [order] = customer.orders.getItems()
    if (order === undefined) throw new Error('there is an order')
    em.remove(order)
    whileWriting(stage.orm, 'nativeDelete', () => {
      order.customer = customer
      em.persist(order)
    })
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, ['Ada ADA ada@example.com v1 ["old"] Old Street [first] {readers}'])
})

onEachDatabase('while a DELETE is written, what it deletes is read again', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    for (const order of customer.orders) em.remove(order)
    let read: Promise<unknown> | undefined
    whileWriting(stage.orm, 'nativeDelete', () => { read = em.populate(customer, ['orders'], { refresh: true }) })
    await em.flush()
    await read
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, ['Ada ADA ada@example.com v1 ["old"] Old Street [] {readers}'])
})

onEachDatabase('while a DELETE is written, what it deletes is removed once more', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    const orders = customer.orders.getItems()
    em.remove(orders)
    whileWriting(stage.orm, 'nativeDelete', () => { em.remove(orders) })
    await em.flush()
    t.equal(em.getUnitOfWork().getRemoveStack().size, 0)
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, ['Ada ADA ada@example.com v1 ["old"] Old Street [] {readers}'])
})

onEachDatabase('while an UPDATE is written, a collection that was not read is set', shop, async (t, stage) => {
  const response = await handle(stage, async em => {
    em.clear()
    const customer = await em.findOneOrFail(CustomerSchema, { name: 'Ada' })
    customer.name = 'Eve'
    whileWriting(stage.orm, 'nativeUpdate', () => { customer.groups.set([em.create(GroupSchema, { name: 'writers' })]) })
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, ['Eve EVE ada@example.com v2 ["old"] Old Street [first] {writers}'])
})

onEachDatabase('a subscriber takes what was updated out of the session', shop, async (t, stage) => {
  const response = await handle(stage, async em => {
    const bob = em.create(CustomerSchema, { name: 'Bob' })
    await em.flush()
    em.getEventManager().registerSubscriber({ afterFlush: async ({ uow }) => { uow.unsetIdentity(bob) } })
    bob.name = 'Rob'
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Ada/, /^Rob/])
})

onEachDatabase('while a flush runs, a removal is asked for and taken back', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    customer.name = 'Eve'
    whileWriting(stage.orm, 'nativeUpdate', () => { em.remove(customer).persist(customer) })
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Eve/])
})

onEachDatabase('while an UPDATE is written, something is set that had not been read', shop, async (t, stage) => {
  const response = await handle(stage, async em => {
    em.clear()
    const customer = await em.findOneOrFail(CustomerSchema, { name: 'Ada' }, { fields: ['name'] })
    customer.name = 'Eve'
    whileWriting(stage.orm, 'nativeUpdate', () => { em.assign(customer, { email: 'eve@example.com' } as never) })
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Eve EVE eve@example.com/])
})

onEachDatabase('an expression is written once', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    const { raw } = await import('@mikro-orm/core')
    customer.email = raw<string>("upper('eve@example.com')")
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Ada ADA EVE@EXAMPLE.COM v2/])
})

onEachDatabase('unique values that are written in steps of their own', shop, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    const bob = em.create(CustomerSchema, { name: 'Bob', email: 'bob@example.com' })
    await em.flush()
    customer.email = 'bob@new.example.com'
    bob.email = 'ada@new.example.com'
    whileWriting(stage.orm, 'nativeUpdate', () => { bob.name = 'Rob' })
    await em.flush()
    bob.data = { tags: ['after'] }
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [/^Ada ADA bob@new.example.com v2/, /^Rob ROB ada@new.example.com v3 \["after"]/])
})

for (const label of ['flush', 'find', 'transactional', 'create'] as const) {
  onEachDatabase(`twenty services at once on one session: ${label}`, automatic, async (t, { app, labels }) => {
    app.post('/', async request => {
      const em = request.db
      const tick = async () => { await new Promise(resolve => { setImmediate(resolve) }) }
      await Promise.all(Array.from({ length: 20 }, async (_, n) => {
        for (let wait = 0; wait < n % 5; wait++) await tick()
        const item = em.create(ItemSchema, { label: `${n} made` })
        if (label === 'flush') await em.flush()
        if (label === 'find') await em.findAll(ItemSchema)
        if (label === 'transactional') await em.transactional(async inner => { inner.create(ItemSchema, { label: `${n} nested` }) })
        await tick()
        item.label = `${n} changed`
        em.create(ItemSchema, { label: `${n} after` })
      }))
      return 'ok'
    })
    const response = await app.inject({ method: 'POST', url: '/' })
    t.equal(response.statusCode, 200, response.body)
    const kinds = label === 'transactional' ? ['after', 'changed', 'nested'] : ['after', 'changed']
    t.same(await labels(), Array.from({ length: 20 }, (_, n) => kinds.map(kind => `${n} ${kind}`)).flat().sort())
  })
}

for (const event of ['afterFlush', 'onFlush', 'afterCreate', 'beforeTransactionCommit'] as const) {
  onEachDatabase(`what a subscriber persists in ${event} is written`, automatic, async (t, { app, orm, labels }) => {
    let left = 3
    orm.em.getEventManager().registerSubscriber({
      async [event] ({ em }: { em: Session }) {
        if (left-- > 0) em.create(Item, { label: `by the subscriber ${left}` })
      }
    })
    app.post('/', async request => request.db.create(Item, { label: 'by the handler' }))
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
    const least = event === 'beforeTransactionCommit' ? 2 : 4
    t.ok((await labels()).length >= least, (await labels()).join())
  })
}

onEachDatabase('a subscriber that persists something with every flush is refused', automatic, async (t, { app, orm, labels }) => {
  let n = 0
  orm.em.getEventManager().registerSubscriber({ async afterFlush ({ em }) { em.create(Item, { label: `${++n}` }) } })
  app.post('/', async request => request.db.create(Item, { label: 'first' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ENDLESS_FLUSH' })
  t.same(await labels(), [])
})

onEachDatabase('a subscriber that flushes is refused, as by MikroORM', automatic, async (t, { app, orm, labels }) => {
  orm.em.getEventManager().registerSubscriber({ async afterFlush ({ em }) { await em.flush() } })
  app.post('/', async request => request.db.create(Item, { label: 'first' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: /flush/ })
  t.same(await labels(), [])
})

for (const commitOnTeardown of [true, false]) {
  const options = { plugin: { commitOnTeardown } }
  for (const [title, interrupt] of Object.entries({
    'db.rollback()': async () => { await db.rollback() },
    'db.remove()': async () => { await db.remove() },
    'em.clear()': async (em: Session) => { em.clear() },
    'orm.em.clear()': async (_em: Session, orm: SqlORM) => { orm.em.clear() }
  })) {
    for (const method of ['nativeInsertMany', 'nativeUpdate'] as const) {
      onEachDatabase(`${title} while a flush runs (${method}), commitOnTeardown: ${commitOnTeardown}`, options, async (t, { app, orm, labels }) => {
        await orm.em.fork().insert(Item, { label: 'there', amount: 0 })
        let interrupted: Promise<void> | undefined
        app.post('/', async request => {
          const em = request.db
          const there = await em.findOneOrFail(Item, { label: 'there' })
          there.amount = 1
          em.create(Item, { label: 'a' })
          whileWriting(orm, method, () => { interrupted = interrupt(em, orm) })
          await t.rejects(em.flush())
          await interrupted
          return 'ok'
        })
        const response = await app.inject({ method: 'POST', url: '/' })
        t.ok([200, 500].includes(response.statusCode))
        t.same(await labels(), ['there'])
        t.equal(await orm.em.fork().count(Item, { amount: 1 }), 0)
      })
    }
  }
}

onEachDatabase('after a rollback that has stopped a flush the session works', automatic, async (t, { app, orm, labels }) => {
  app.post('/', async request => {
    const em = request.db
    em.create(Item, { label: 'a' })
    let rolledBack: Promise<void> | undefined
    whileWriting(orm, 'nativeInsertMany', () => { rolledBack = db.rollback() })
    await t.rejects(em.flush(), { code: /FST_SCOPED_DB_(FLUSH_INTERRUPTED|ROLLBACK_ONLY)/ })
    await rolledBack
    em.create(Item, { label: 'b' })
    await em.flush()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['b'])
})

onEachDatabase('a rollback by a subscriber makes its flush fail, and does not wait for it', automatic, async (t, { app, orm, labels }) => {
  orm.em.getEventManager().registerSubscriber({ async afterCreate () { await db.rollback() } })
  app.post('/', async request => request.db.create(Item, { label: 'a' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_FLUSH_INTERRUPTED' })
  t.same(await labels(), [])
})

onEachDatabase('what changes while a stream is awaited is committed', automatic, async (t, { app, labels }) => {
  const { Readable } = await import('node:stream')
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'before' })
    return await reply.type('text/plain').send(Readable.from((async function * () {
      await sleep(20)
      db.session.create(Item, { label: 'before the first chunk' })
      yield 'done'
    })()))
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'done')
  t.same(await labels(), ['before', 'before the first chunk'])
})
