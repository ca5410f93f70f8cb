/** The session after transactions inside it: what it shows is what the database has. */
import { ref, TransactionPropagation } from '@mikro-orm/core'
import { AsyncResource } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { Item, ItemSchema, PartSchema } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { createShop, CustomerSchema, describe, GroupSchema, OrderSchema, matchShop, shopEntities, shopRows, type Customer } from '../support/shop-entities.ts'

const entities = [ItemSchema, PartSchema, ...shopEntities]
const automatic = { plugin: { commitOnTeardown: true }, orm: { entities } }
const manual = { plugin: { commitOnTeardown: false }, orm: { entities } }

type Session = typeof db.session

const ADA = 'Ada ADA ada@example.com v1 ["old"] Old Street [first] {readers}'

/** Runs one handler on a customer that is in the database, and gives its reply. */
async function handle ({ app, orm }: Stage, handler: (em: Session, customer: Customer) => Promise<unknown>) {
  await createShop(orm)
  const seed = orm.em.fork()
  const customer = seed.create(CustomerSchema, { name: 'Ada', email: 'ada@example.com', data: { tags: ['old'] }, address: { street: 'Old Street' }, bought: new Date(0) })
  seed.create(OrderSchema, { title: 'first', customer })
  customer.groups.add(seed.create(GroupSchema, { name: 'readers' }))
  await seed.flush()
  app.post('/', async request => {
    const found = await request.db.findOneOrFail(CustomerSchema, { email: 'ada@example.com' }, { populate: ['orders', 'groups.members'] })
    return await handler(request.db, found) ?? 'ok'
  })
  return await app.inject({ method: 'POST', url: '/' })
}

const CHANGES: Record<string, (em: Session, customer: Customer) => unknown> = {
  'a column': (_em, customer) => { customer.name = 'Eve' },
  'a date in place': (_em, customer) => { customer.bought?.setFullYear(2000) },
  'a JSON value in place': (_em, customer) => { customer.data?.tags.push('new') },
  'another JSON value': (_em, customer) => { customer.data = { tags: ['another'] } },
  'an embedded object in place': (_em, customer) => { if (customer.address !== null) customer.address.street = 'New Street' },
  'an embedded object, taken away': (_em, customer) => { customer.address = null },
  'a reference': (em, customer) => { customer.friend = ref(em.create(CustomerSchema, { name: 'Bob' })) },
  'one more in a one to many': (em, customer) => { customer.orders.add(em.create(OrderSchema, { title: 'second', customer })) },
  'none in a one to many': (_em, customer) => { customer.orders.removeAll() },
  'one more in a many to many': (em, customer) => { customer.groups.add(em.create(GroupSchema, { name: 'writers' })) },
  'others in a many to many': (em, customer) => { customer.groups.set([em.create(GroupSchema, { name: 'writers' })]) },
  'a many to many, from its other side': (_em, customer) => { for (const group of customer.groups) group.members.removeAll() },
  'a removal': (em, customer) => { em.remove([customer, ...customer.orders]) },
  'all of it': (em, customer) => {
    customer.name = 'Eve'
    customer.email = null
    customer.data?.tags.push('new')
    customer.orders.removeAll()
    customer.orders.add(em.create(OrderSchema, { title: 'second', customer }))
    customer.groups.set([em.create(GroupSchema, { name: 'writers' })])
  }
}

for (const [title, change] of Object.entries(CHANGES)) {
  for (const isFlushed of [false, true]) {
    for (const depth of [1, 2]) {
      onEachDatabase(`back to the savepoint, ${isFlushed ? 'flushed' : 'not flushed'}, ${depth} deep: ${title}`, automatic, async (t, stage) => {
        let wanted: string | undefined
        const response = await handle(stage, async (em, customer) => {
          const inside = async (inner: Session) => {
            change(inner, customer)
            if (isFlushed) await inner.flush()
            wanted = title === 'a removal' ? undefined : describe(customer)
          }
          const attempt = async (inner: Session) => {
            await (depth === 1 ? inside(inner) : inner.transactional(inside))
            throw new Error('back')
          }
          const groups = customer.groups
          await t.rejects(em.transactional(attempt), { message: 'back' })
          t.equal(describe(customer), ADA)
          t.equal(customer.bought?.getTime(), 0)
          t.equal(customer.groups, groups)
          t.equal(customer.friend ?? null, null)
          t.same(customer.groups[0]?.members.getItems(), [customer])
          // Nothing is left of it.
          await em.flush()
          t.same(await em.count(OrderSchema), 1)
          // Done again, it works.
          await t.rejects(em.transactional(attempt), { message: 'back' })
          await em.transactional(depth === 1 ? inside : async inner => { await inner.transactional(inside) })
          if (title === 'a removal') return
          const shown = describe(customer)
          await em.flush()
          wanted = shown
        })
        t.equal(response.statusCode, 200, response.body)
        const rows = await shopRows(stage.orm)
        t.same(rows.filter(row => !row.startsWith('Bob')), wanted === undefined ? [] : [wanted])
        if (title !== 'a removal' && title !== 'a date in place') t.not(rows.join(), ADA)
      })
    }
  }
}

onEachDatabase('what was made inside is no longer in the session, and can be persisted again', automatic, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    let made: Customer | undefined
    await t.rejects(em.transactional(async outer => await outer.transactional(async inner => {
      made = inner.create(CustomerSchema, { name: 'Bob', email: 'bob@example.com' })
      made.groups.add(customer.groups.getItems())
      made.orders.add(inner.create(OrderSchema, { title: 'of Bob', customer: made }))
      await inner.flush()
      t.type(made.id, 'number')
      t.equal(made.loud, 'BOB')
    }).then(() => { throw new Error('back') })), { message: 'back' })
    if (made === undefined) throw new Error('it was made')
    t.same([made.id, made.version, made.loud], [undefined, undefined, undefined])
    t.equal(em.getUnitOfWork().getIdentityMap().values().includes(made), false)
    t.same(customer.groups[0]?.members.getItems(), [customer])
    em.persist(made)
  })
  t.equal(response.statusCode, 200, response.body)
  t.same(await shopRows(stage.orm), [ADA, 'Bob BOB bob@example.com v1 null - [of Bob] {readers}'])
})

for (const isLoaded of [false, true]) {
  onEachDatabase(`a lazy column and an array of embedded objects, ${isLoaded ? 'loaded' : 'not loaded'} before`, automatic, async (t, stage) => {
    const response = await handle(stage, async (em, customer) => {
      customer.others = [{ street: 'Second Street', city: null }]
      customer.note.set('a note')
      await em.flush()
      em.clear()
      const found = await em.findOneOrFail(CustomerSchema, { name: 'Ada' }, isLoaded ? { populate: ['note'] } : {})
      const [other] = found.others
      await t.rejects(em.transactional(async inner => {
        t.equal(await found.note.load(), 'a note')
        found.note.set('another')
        if (other !== undefined) other.street = 'Third Street'
        found.others.push({ street: 'Fourth Street', city: null })
        await inner.flush()
        throw new Error('back')
      }), { message: 'back' })
      t.same(found.others.map(({ street }) => street), ['Second Street'])
      t.equal(found.others[0], other)
      t.equal(found.note.isInitialized(), isLoaded)
      t.equal(await found.note.load(), 'a note')
    })
    t.equal(response.statusCode, 200, response.body)
    t.equal((await stage.orm.em.fork().findOneOrFail(CustomerSchema, { name: 'Ada' }, { populate: ['note'] })).note.unwrap(), 'a note')
  })
}

onEachDatabase('a collection that was not read is set before, and again inside', manual, async (t, stage) => {
  const response = await handle(stage, async em => {
    em.clear()
    const customer = await em.findOneOrFail(CustomerSchema, { name: 'Ada' })
    customer.groups.set([em.create(GroupSchema, { name: 'writers' })])
    await t.rejects(em.transactional(async inner => {
      await inner.flush()
      customer.groups.removeAll()
      throw new Error('back')
    }), { message: 'back' })
    t.same(customer.groups.getItems().map(({ name }) => name), ['writers'])
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, ['Ada ADA ada@example.com v1 ["old"] Old Street [first] {writers}'])
})

onEachDatabase('what was read two deep and changed three deep is what the database has', automatic, async (t, { app, database }) => {
  const seed = database.witness.em.fork()
  seed.create(PartSchema, { item: seed.create(ItemSchema, { label: 'owner' }), name: 'part' })
  await seed.flush()
  app.post('/', async request => {
    const other = request.db.create(ItemSchema, { label: 'other' })
    await t.rejects(request.db.transactional(async em => {
      await em.transactional(async em => {
        await em.find(ItemSchema, {}, { populate: ['parts'] })
        const part = await em.findOneOrFail(PartSchema, { name: 'part' })
        await em.transactional(async () => { part.item = other })
      })
      throw new Error('back')
    }), { message: 'back' })
    t.same(other.parts.getItems(), [])
    t.equal((await request.db.findOneOrFail(PartSchema, { name: 'part' })).item.label, 'owner')
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
})

onEachDatabase('what was read inside does not stay loaded halfway', automatic, async (t, stage) => {
  const response = await handle(stage, async em => {
    em.clear()
    const customer = await em.findOneOrFail(CustomerSchema, { name: 'Ada' })
    await t.rejects(em.transactional(async inner => {
      await inner.populate(customer, ['groups', 'orders'])
      customer.groups.removeAll()
      await inner.flush()
      throw new Error('back')
    }), { message: 'back' })
    t.equal(customer.groups.isInitialized(), false)
    await em.populate(customer, ['groups', 'orders'])
    t.equal(describe(customer), ADA)
  })
  t.equal(response.statusCode, 200, response.body)
  t.same(await shopRows(stage.orm), [ADA])
})

onEachDatabase('a flush inside that failed is not released, although its error was caught', automatic, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    await t.rejects(em.transactional(async inner => {
      inner.create(CustomerSchema, { name: 'Bob' })
      await inner.flush()
      customer.name = 'Eve'
      inner.create(CustomerSchema, { name: 'Rob', email: 'ada@example.com' })
      await inner.flush().catch(() => {})
    }), { name: 'UniqueConstraintViolationException' })
  })
  t.equal(response.statusCode, 200, response.body)
  t.same(await shopRows(stage.orm), [ADA])
})

onEachDatabase('after-commit work and recorded changes go with the savepoint', automatic, async (t, { app, labels }) => {
  const told: string[][] = []
  app.db.on('committed', ({ changes }) => { told.push([...changes.insert, ...changes.update].map(entity => (entity as Item).label)) })
  const done: string[] = []
  app.post('/', async request => {
    const item = request.db.create(Item, { label: 'there' })
    await t.rejects(request.db.transactional(async em => {
      em.create(Item, { label: 'inside' })
      item.amount = 1
      db.afterCommit(() => { done.push('inside') })
      await em.flush()
      throw new Error('back')
    }))
    db.afterCommit(() => { done.push('outside') })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  for (let n = 0; n < 50 && done.length === 0; n++) await sleep(10)
  t.same(await labels(), ['there'])
  t.same([told, done], [[['there']], ['outside']])
})

onEachDatabase('a transaction by hand that fails, without commitOnTeardown', manual, async (t, stage) => {
  const response = await handle(stage, async (em, customer) => {
    em.create(CustomerSchema, { name: 'Bob' })
    await t.rejects(em.transactional(async inner => {
      customer.name = 'Eve'
      inner.create(CustomerSchema, { name: 'Rob' })
      await inner.flush()
      throw new Error('back')
    }), { message: 'back' })
    t.equal(describe(customer), ADA)
    await em.flush()
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [ADA, /^Bob/])
})

for (const propagation of [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED]) {
  for (const fails of [false, true]) {
    onEachDatabase(`${propagation} leaves the work of the request alone, and ${fails ? 'fails' : 'succeeds'}`, { ...automatic, kinds: servers }, async (t, stage) => {
      const response = await handle(stage, async (em, customer) => {
        const bob = em.create(CustomerSchema, { name: 'Bob' })
        customer.name = 'Eve'
        customer.groups.add(em.create(GroupSchema, { name: 'writers' }))
        const work = em.transactional(async inner => {
          t.equal(inner.getUnitOfWork().getIdentityMap().values().length, 0)
          t.same((await inner.findAll(CustomerSchema)).map(({ name }) => name), ['Ada'])
          inner.create(GroupSchema, { name: 'audit' })
          if (!fails) return
          customer.data = { tags: ['inside'] }
          customer.groups.removeAll()
          throw new Error('no')
        }, { propagation })
        await (fails ? t.rejects(work, { message: 'no' }) : work)
        t.equal(bob.id, undefined, 'it is not written yet')
        t.match(describe(customer), /^Eve .* v1 \["old"\] Old Street \[first\] \{readers,writers\}/)
      })
      t.equal(response.statusCode, 200, response.body)
      await matchShop(t, stage.orm, [/^Bob/, 'Eve EVE ada@example.com v2 ["old"] Old Street [first] {readers,writers}'])
      t.equal(await stage.orm.em.fork().count(GroupSchema, { name: 'audit' }), fails ? 0 : 1)
    })

    onEachDatabase(`${propagation} that ${fails ? 'fails' : 'succeeds'} in a request that is rolled back`, { ...automatic, kinds: servers }, async (t, stage) => {
      const response = await handle(stage, async (em, customer) => {
        em.create(CustomerSchema, { name: 'Bob' })
        customer.name = 'Eve'
        await em.transactional(async inner => {
          inner.create(CustomerSchema, { name: 'audit' })
          await inner.flush()
          if (fails) throw new Error('no')
        }, { propagation }).catch(() => {})
        throw new Error('no')
      })
      t.equal(response.statusCode, 500, response.body)
      const isWritten = !fails || propagation === TransactionPropagation.NOT_SUPPORTED
      await matchShop(t, stage.orm, isWritten ? [ADA, /^audit/] : [ADA])
    })
  }
}

onEachDatabase('what a transaction of its own has made can be changed afterwards', { ...automatic, kinds: servers }, async (t, stage) => {
  const response = await handle(stage, async em => {
    const bob = await em.transactional(async inner => inner.create(CustomerSchema, { name: 'Bob' }), { propagation: TransactionPropagation.REQUIRES_NEW })
    bob.name = 'Rob'
  })
  t.equal(response.statusCode, 200, response.body)
  await matchShop(t, stage.orm, [ADA, 'Rob ROB - v2 null - [] {}'])
})

for (const [title, ends] of Object.entries({ released: true, 'rolled back': false })) {
  onEachDatabase(`the commit waits for a savepoint that nobody waits for, and that is ${title}`, automatic, async (t, { app, labels }) => {
    let transfer: Promise<void> | undefined
    app.post('/', async request => {
      request.db.create(Item, { label: 'before' })
      transfer = request.db.transactional(async em => {
        await em.insert(Item, { label: 'debit', amount: 0 })
        await sleep(50)
        em.create(Item, { label: 'credit' })
        if (!ends) throw new Error('no')
      })
      transfer.catch(() => {})
      await sleep(10)
      return 'ok'
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
    t.equal((await Promise.allSettled([transfer]))[0]?.status, ends ? 'fulfilled' : 'rejected')
    t.same(await labels(), ends ? ['before', 'credit', 'debit'] : ['before'])
  })
}

for (const outcome of ['commit', 'rollback'] as const) {
  onEachDatabase(`db.${outcome}() beside an em.transactional()`, automatic, async (t, { app, labels }) => {
    app.post('/', async request => {
      const transfer = request.db.transactional(async em => {
        await em.insert(Item, { label: 'debit', amount: 0 })
        await sleep(50)
        await em.insert(Item, { label: 'credit', amount: 0 })
      })
      const settled = Promise.allSettled([transfer])
      await sleep(10)
      await db[outcome]()
      t.equal((await settled)[0]?.status, outcome === 'commit' ? 'fulfilled' : 'rejected')
      request.db.create(Item, { label: 'after' })
      return 'ok'
    })
    const response = await app.inject({ method: 'POST', url: '/' })
    t.equal(response.statusCode, 200, response.body)
    t.same(await labels(), outcome === 'commit' ? ['after', 'credit', 'debit'] : ['after'])
  })

  onEachDatabase(`db.${outcome}() inside an em.transactional() is refused`, automatic, async (t, { app, labels }) => {
    app.post('/', async request => {
      await request.db.transactional(async em => {
        em.create(Item, { label: 'debit' })
        await t.rejects(db[outcome](), { code: 'FST_SCOPED_DB_INSIDE_TRANSACTION' })
        em.create(Item, { label: 'credit' })
      })
      return 'ok'
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
    t.same(await labels(), ['credit', 'debit'])
  })
}

for (const ends of [true, false]) {
  onEachDatabase(`the outer session flushes from elsewhere while a transaction is open that ${ends ? 'succeeds' : 'fails'}`, automatic, async (t, stage) => {
    const queue = new AsyncResource('queue')
    const response = await handle(stage, async (em, customer) => {
      const elsewhere = async (run: () => Promise<unknown>) => await new Promise((resolve, reject) => { queue.runInAsyncScope(() => { run().then(resolve, reject) }) })
      const [order] = customer.orders.getItems()
      const work = em.transactional(async inner => {
        inner.create(CustomerSchema, { name: 'Bob' })
        await elsewhere(async () => {
          em.create(CustomerSchema, { name: 'Rob' })
          if (order !== undefined) em.remove(order)
          await em.flush()
        })
        if (!ends) throw new Error('no')
      })
      await (ends ? work : t.rejects(work, { message: 'no' }))
    })
    t.equal(response.statusCode, 200, response.body)
    await matchShop(t, stage.orm, ends ? [/^Ada .* \[\]/, /^Bob/, /^Rob/] : [/^Ada .* \[\]/, /^Rob/])
  })
}
