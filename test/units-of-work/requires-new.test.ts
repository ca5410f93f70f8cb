/** Transactions of their own inside a savepoint. */
import { TransactionPropagation } from '@mikro-orm/core'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

// SQLite has one connection.
const automatic = { plugin: { commitOnTeardown: true }, kinds: ['mysql' as const] }
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
