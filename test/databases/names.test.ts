/** Which database a name stands for. */
import Fastify from 'fastify'
import t from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { createDatabase } from '../support/databases.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { addSecond, analytics, session } from '../support/second-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('wrong names and wrong options', automatic, async (t, stage) => {
  const { app, orm } = stage
  await addSecond(stage, { commitOnTeardown: false })
  t.throws(() => db.use('analytic').name, { code: 'FST_SCOPED_DB_UNKNOWN_DATABASE', message: /no database named "analytic" is registered, only: default, analytics/ })
  t.throws(() => app.db.use('analytic'), { code: 'FST_SCOPED_DB_UNKNOWN_DATABASE' })
  t.equal(db.use('analytics').name, 'analytics')
  t.equal(db.use('analytics'), db.use('analytics'), 'the same thing each time')
  t.equal(db.use('analytics').use('default').name, 'default')
  await t.rejects(async () => await app.register(scopedDb, { orm, name: 'third' }), { code: 'FST_SCOPED_DB_ORM_IN_USE', message: /"third" is that of "default"/ })
})

void t.test('the database that is named default is request.db, whenever it comes', async t => {
  const app = Fastify()
  const [first, second] = [await createDatabase('sqlite'), await createDatabase('sqlite')]
  await app.register(async child => {
    await child.register(scopedDb, { orm: first.options, name: 'first' })
    t.equal(child.db.name, 'first')
    await child.register(async grandchild => {
      await grandchild.register(scopedDb, { orm: second.options })
      grandchild.get('/', async request => [request.server.db.name, request.db.name, db.name, request.db.config === db.orm.config])
    })
  })
  t.same((await app.inject('/')).json(), ['default', 'default', 'default', true])
  await app.close()
  await first.drop()
  await second.drop()
})

void t.test('db.use() can be kept before anything is registered', async t => {
  t.throws(() => session.id, { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
  t.throws(() => analytics.name, { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
})
