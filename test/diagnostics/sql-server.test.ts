/** SQL Server's driver has methods for what begins and ends a transaction, and sends no statements: they are told of all the same. */
import Fastify from 'fastify'
import t from 'tap'
import scopedDb from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { connectSqlServer } from '../support/sql-server.ts'
import { eventsOf } from '../support/traces.ts'

void t.test('transactions and savepoints, once each', async t => {
  let id = 0
  const { orm } = await connectSqlServer({ entities: [Item, Part] }, sql => sql.startsWith('insert') ? [{ id: ++id }] : undefined)
  const statements = eventsOf(t, 'statement')
  // What has known it before has changed it already.
  for (const commitOnTeardown of [true, true]) {
    const app = Fastify()
    await app.register(scopedDb, { orm, commitOnTeardown })
    await app.db.run(async session => {
      session.create(Item, { label: 'a' })
      await session.transactional(async session => { session.create(Item, { label: 'b' }) })
      await t.rejects(session.transactional(async session => { session.create(Item, { label: 'c' }); await session.flush(); throw new Error('undone') }))
    })
    await t.rejects(app.db.run(async session => { session.create(Item, { label: 'd' }); await session.flush(); throw new Error('undone') }))
    const told = statements.ended().map(({ sql }) => /^(?:rollback to|\w+)/.exec(sql)?.[0])
    t.same(told, ['begin', 'insert', 'savepoint', 'insert', 'savepoint', 'insert', 'rollback to', 'commit', 'begin', 'insert', 'rollback'])
    await app.close()
  }
  await orm.close(true)
})

void t.test('statements are tagged, transactions are not', async t => {
  const { orm, sent } = await connectSqlServer({ entities: [Item, Part] }, sql => sql.startsWith('insert') ? [{ id: 1 }] : undefined)
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, tagStatements: true })
  app.post('/items', async request => request.db.create(Item, { label: 'a' }))
  t.equal((await app.inject({ method: 'POST', url: '/items' })).statusCode, 200)
  t.match(sent, ['BEGIN', /^insert .* \/\*method='POST',route='%2Fitems'\*\/$/, 'COMMIT'])
  await app.close()
  await orm.close(true)
})
