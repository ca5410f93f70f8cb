/** `recordStatements()`: what a test sees of what an application has sent. */
import { AssertionError } from 'node:assert'
import { tracingChannel } from 'node:diagnostics_channel'
import Fastify from 'fastify'
import type { Test } from 'tap'
import scopedDb from '../../plugin.ts'
import { isolate, recordStatements } from '../../testing.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { insert } from '../support/isolated-items.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const HERE = /test\/testing\/record-statements\.test\.ts:\d+:\d+$/

function addRoutes ({ app }: Pick<Stage, 'app'>): void {
  app.get('/one-by-one', async request => {
    const found = []
    for (const label of ['a', 'b', 'c']) found.push(await request.db.count(Item, { label }))
    return found
  })
  app.post('/items', async request => request.db.create(Item, { label: 'a' }))
  app.post('/many', async request => { await request.db.insertMany(Item, ['x', 'y'].map(label => insert(label))) })
}

function failureOf (t: Test, assert: () => void): AssertionError {
  try {
    assert()
  } catch (error) {
    t.type(error, AssertionError)
    return error as AssertionError
  }
  throw new Error('it has not failed')
}

onEachDatabase('what was sent, what was repeated, and BEGIN and COMMIT apart', automatic, async (t, stage) => {
  const { app } = stage
  addRoutes(stage)
  const read = await recordStatements(app, () => app.inject('/one-by-one'))
  t.equal(read.result.statusCode, 200)
  t.equal(read.length, 3)
  t.match([...read], [{ sql: /^select/, parameters: ['a'], kind: 'read', database: 'default', route: '/one-by-one', rows: 1, place: HERE }, {}, {}])
  t.same(read.control.filter(({ inTransaction }) => inTransaction), [], 'a connection may be asked for its name')
  t.match(read.repeated, [{ sql: /^select/, count: 3, places: [HERE] }])
  const write = await recordStatements(app, async () => await app.inject({ method: 'POST', url: '/items' }))
  t.match([...write], [{ sql: /^insert/ }])
  t.match(write.control.at(-1), { sql: 'commit' })
  t.same(write.repeated, [])
  write.assertNotRepeated()
  const none = await recordStatements(app, () => 7)
  t.same([none.result, none.length, none.repeated, none.control], [7, 0, [], []])
})

onEachDatabase('what MikroORM asks once in a process does not count', automatic, async (t, stage) => {
  addRoutes(stage)
  const seen = await recordStatements(stage.app, () => stage.app.inject({ method: 'POST', url: '/many' }))
  seen.assertCount(1)
  t.match([...seen], [{ sql: /^insert/ }])
})

onEachDatabase('assertions that fail list what was sent, how often and from where', automatic, async (t, stage) => {
  addRoutes(stage)
  const seen = await recordStatements(stage.app, () => stage.app.inject('/one-by-one'))
  seen.assertCount(3)
  seen.assertNotRepeated(3)
  const miscounted = failureOf(t, () => { seen.assertCount(1) })
  t.match(miscounted, { actual: 3, expected: 1, operator: 'assertCount', message: /^expected 1 statement, but 3 were sent:\n3 x select .*\n {4}from .*record-statements\.test\.ts:\d+:\d+$/ })
  t.match(miscounted.stack?.split('\n').find(line => line.startsWith('    at ')), 'record-statements.test.ts', 'it points to the test')
  t.match(failureOf(t, () => { seen.assertNotRepeated() }), { actual: 3, expected: 1, message: /^expected no statement to be sent more than once:\n3 x select/ })
  t.match(failureOf(t, () => { seen.assertNotRepeated(2) }).message, /more than 2 times:/)
  const none = await recordStatements(stage.app, async () => {})
  t.equal(failureOf(t, () => { none.assertCount(2) }).message, 'expected 2 statements, but 0 were sent')
  const one = await recordStatements(stage.app, async () => await stage.app.db.run(session => session.count(Item)))
  t.match(failureOf(t, () => { one.assertCount(0) }).message, /^expected 0 statements, but 1 was sent:\n1 x select/)
})

onEachDatabase('isolated, it is the same', automatic, async (t, stage) => {
  const { app } = stage
  addRoutes(stage)
  const isolation = await isolate(app)
  t.equal((await recordStatements(app, () => app.inject('/one-by-one'))).length, 3)
  const write = await recordStatements(app, () => app.inject({ method: 'POST', url: '/items' }))
  t.match([...write], [{ sql: /^insert/ }])
  t.same(write.control.map(({ sql }) => sql), ['begin', 'commit'])
  await isolation.release()
})

onEachDatabase('sessions that were there before, of this application and of no other', { plugin: {} }, async (t, { app, orm, database }) => {
  const other = Fastify()
  const otherOrm = await database.connect()
  await other.register(scopedDb, { orm: otherOrm })
  t.teardown(async () => {
    await other.close()
    await otherOrm.close()
  })
  await using scope = app.db.open()
  await scope.session.count(Item)
  const seen = await recordStatements(app, async () => {
    await scope.session.count(Item)
    await orm.em.fork().count(Item)
    await other.db.run(session => session.getConnection().execute('select 1'))
  })
  t.match([...seen], [{ sql: /^select count/, place: undefined }], 'whose places nobody has asked for')
  t.match(failureOf(t, () => { seen.assertCount(0) }).message, /\n1 x select count.*$/)
})

onEachDatabase('nobody is told any more afterwards, whatever is thrown', { plugin: {} }, async (t, { app }) => {
  await t.rejects(recordStatements(app, () => { throw new Error('mine') }), { message: 'mine' })
  await t.rejects(recordStatements(Fastify(), () => 1), { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
  t.equal(tracingChannel('fastify-scoped-db.statement').hasSubscribers, false)
})
