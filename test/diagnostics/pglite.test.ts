/** Kysely's dialect of PGlite begins and ends transactions by methods that nobody else can see: they are told of all the same. */
import Fastify from 'fastify'
import t from 'tap'
import scopedDb from '../../plugin.ts'
import { isolate } from '../../testing.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { createPglite } from '../support/pglite.ts'
import { eventsOf } from '../support/traces.ts'

void t.test('transactions, once each, and isolated ones', async t => {
  const database = await createPglite([Item, Part])
  const orm = await database.connect()
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  await app.ready()
  const statements = eventsOf(t, 'statement')
  const did = () => statements.ended().map(({ sql, inTransaction }) => `${/^\w+/.exec(sql)?.[0]}${inTransaction ? ' inside' : ''}`)
  const work = async (label: string, error?: Error) => await app.db.run(async session => {
    await session.insert(Item, { label, amount: 0 })
    t.equal(await session.count(Item, { label }), 1)
    if (error !== undefined) throw error
  })
  const committed = ['begin inside', 'insert inside', 'select inside', 'commit inside']
  await work('a')
  t.same(did(), committed)
  await t.rejects(work('b', new Error('undone')), { message: 'undone' })
  t.same(did(), ['begin inside', 'insert inside', 'select inside', 'rollback inside'])
  await app.db.run(async session => await session.find(Item, {}))
  t.match(statements.ended().filter(({ kind }) => kind === 'read'), [{ rows: 1 }])
  const { release } = await isolate(app)
  await work('c')
  t.same(did(), committed)
  await release()
  await app.close()
  await orm.close()
  await database.drop()
})
