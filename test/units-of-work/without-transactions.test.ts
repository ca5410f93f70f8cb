import { defineEntity, MikroORM, p } from '@mikro-orm/core'
import Fastify from 'fastify'
import t from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { ConnectionPool } from '../../lib/transaction/connection-pool.ts'
import { NoTransactions } from '../../lib/session/no-transactions.ts'
import type { SessionTransactions } from '../../lib/session/session-transactions.ts'
import { MemoryDriver } from '../support/memory-driver.ts'

const Note = defineEntity({ name: 'Note', properties: { id: p.integer().primary(), text: p.string() } })

void t.test('a driver without SQL transactions gets flush-on-teardown', async t => {
  const orm = await MikroORM.init({ driver: MemoryDriver, entities: [Note], dbName: 'memory' } as never)
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  let kept: typeof db.session | undefined
  app.post('/ok', async request => {
    kept = request.db
    t.equal(request.db.isInTransaction(), false)
    return request.db.create(Note, { text: 'flushed' })
  })
  app.post('/string', async request => {
    request.db.create(Note, { text: 'flushed with a string' })
    return 'ok'
  })
  app.post('/conflict', async (request, reply) => {
    request.db.create(Note, { text: 'never' })
    return await reply.code(409).send()
  })
  app.post('/early', async request => {
    request.db.create(Note, { text: 'early' })
    await db.commit()
    request.db.create(Note, { text: 'never' })
    await db.rollback()
    t.ok(request.db.getConnection())
    throw new Error('after all')
  })
  t.equal((await app.inject({ method: 'POST', url: '/ok' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/string' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/conflict' })).statusCode, 409)
  t.equal((await app.inject({ method: 'POST', url: '/early' })).statusCode, 500)
  await t.rejects(db.run(session => {
    session.create(Note, { text: 'never' })
    throw new Error('thrown')
  }), { message: 'thrown' })
  await db.run(session => { session.create(Note, { text: 'job' }) })
  t.same((orm.driver as MemoryDriver).rows.map(row => row['text']), ['flushed', 'flushed with a string', 'early', 'job'])
  t.equal(app.db.openScopes, 0)
  t.throws(() => kept?.create(Note, { text: 'late' }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await app.close()
  await orm.close()
})

void t.test('it cannot wait for the other nodes of a cluster', async t => {
  const refused = { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /causalReads/ }
  const orm = await MikroORM.init({ driver: MemoryDriver, entities: [Note], dbName: 'memory' } as never)
  const app = Fastify()
  await app.register(scopedDb, { orm, causalReads: true })
  await t.rejects(async () => { await app.ready() }, refused)
  const other = Fastify()
  await other.register(scopedDb, { orm, name: 'other', commitOnTeardown: true })
  await t.rejects(other.db.run(async session => await session.count(Note), { causalReads: true }), refused)
  await other.close()
  await orm.close()
})

void t.test('what a transaction would do is nothing', async t => {
  const orm = await MikroORM.init({ driver: MemoryDriver, entities: [Note], dbName: 'memory' } as never)
  const transactions: SessionTransactions = new NoTransactions({ mode: 'automatic', begin: 'statement', beginWithFirst: true, pool: new ConnectionPool(1) })
  t.match(transactions, { context: undefined, isBusy: false, hasWritten: false })
  transactions.doom(new Error('doomed'))
  transactions.expire()
  t.equal(transactions.hasEnded({}), false)
  for (const work of ['begin', 'announceCommit', 'rollback', 'cancel'] as const) await t.resolves(async () => await transactions[work]())
  t.match(await transactions.prepareCommit(), { hasBegun: false })
  await transactions.end('committed')
  t.doesNotThrow(() => transactions.assertOpen())
  await transactions.close()
  t.throws(() => transactions.assertOpen(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await orm.close()
})
