/** Reads that need a transaction, and those that go elsewhere. */
import { LockMode } from '@mikro-orm/core'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('a locking read needs a transaction, and has one', automatic, async (t, { app }) => {
  app.get('/', async request => await request.db.find(Item, {}, { lockMode: LockMode.PESSIMISTIC_WRITE }))
  app.get('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    await t.rejects(request.db.findOne(Item, { label: 'a' }, { lockMode: LockMode.PESSIMISTIC_WRITE }), /open transaction is required/)
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal((await app.inject('/manual')).statusCode, 200)
})

onEachDatabase('without commitOnTeardown reads still go to a replica', {
  plugin: { commitOnTeardown: false }, kinds: servers
}, async (t, { database, dialect }) => {
  const { default: Fastify } = await import('fastify')
  const { default: scopedDb } = await import('../../plugin.ts')
  const orm = await database.connect({ replicas: [{ dbName: dialect.otherDatabase, name: 'replica' }] } as never)
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'replicated' })
  app.get('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await t.rejects(request.db.find(Item, {}, { connectionType: 'read' }), { name: 'TableNotFoundException' }, 'the replica here is empty')
    t.not(request.db.getConnection('read'), request.db.getConnection('write'))
    t.equal(await request.db.count(Item, {}, { connectionType: 'write' }), 1)
    await request.db.transactional(async em => { em.create(Item, { label: 'b' }) })
    await request.db.begin()
    await request.db.commit()
    return 'ok'
  })
  t.equal((await app.inject('/')).body, 'ok')
  await app.close()
  await orm.close()
})

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`the connection of a session can be wrapped (commitOnTeardown: ${commitOnTeardown})`, { plugin: { commitOnTeardown } }, async (t, { app }) => {
    app.get('/', async request => {
      const connection = request.db.getConnection()
      const rows: unknown[] = []
      for (const wrapped of [new Proxy(connection, {}), Object.create(connection) as typeof connection]) {
        t.equal(wrapped.getClient(), connection.getClient())
        rows.push(await wrapped.execute('select 1 as one'))
      }
      return rows
    })
    t.same((await app.inject('/')).json(), [[{ one: 1 }], [{ one: 1 }]])
  })
}
