/** A query beside the flush that inserts what it finds. */
import { FlushMode } from '@mikro-orm/core'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createShop, CustomerSchema, shopEntities, shopRows, type Customer } from '../support/shop-entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

// Others give the version with the row that it inserts.
const stage = { plugin: { commitOnTeardown: true }, kinds: ['mysql' as const], orm: { entities: shopEntities } }

onEachDatabase('what is found while its version is read is the entity that was created', stage, async (t, { app, orm }) => {
  await createShop(orm)
  app.post('/', async ({ db: session }) => {
    const beside = AsyncLocalStorage.snapshot()
    let found: readonly Customer[] = []
    const { find } = orm.driver
    Object.defineProperty(orm.driver, 'find', {
      configurable: true,
      async value (...args: Parameters<typeof find>) {
        Reflect.deleteProperty(orm.driver, 'find')
        found = await beside(async () => await session.find(CustomerSchema, {}, { flushMode: FlushMode.COMMIT }))
        return await find.apply(orm.driver, args)
      }
    })
    const created = session.create(CustomerSchema, { name: 'Ada', address: { street: 'Old Street' } })
    await session.flush()
    t.equal(found.length, 1)
    t.equal(found[0], created)
    for (const customer of found) customer.name = 'Eve'
    return { version: created.version }
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.same([reply.statusCode, reply.json()], [200, { version: 1 }])
  t.same(await shopRows(orm), ['Eve EVE - v2 null Old Street [] {}'])
})
