/** `db.healthCheck`: it answers in time, whatever the database does, and leaves nothing behind. */
import { MikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import scopedDb from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { MemoryDriver } from '../support/memory-driver.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'

onEachDatabase('a database that answers', {}, async (t, { app, assertClean }) => {
  const { healthCheck } = app.db
  t.same(await Promise.all([healthCheck(), healthCheck(app), healthCheck(5_000)]), [true, true, true], 'it needs no `this`')
  await assertClean()
  t.match(await app.db.stats(), { connections: { used: 0, waiting: 0 }, statements: 0 })
  await app.close()
  t.equal(await healthCheck(), false, 'the application is closed')
})

onEachDatabase('what is no time limit is ignored', {}, async (t, { app }) => {
  const warnings: string[] = []
  const listen = ({ name }: Error) => { warnings.push(name) }
  process.on('warning', listen)
  for (const limit of [Infinity, NaN, -1, 0, 2 ** 31, '1', {}]) t.equal(await app.db.healthCheck(limit), true, String(limit))
  await sleep(1)
  process.off('warning', listen)
  t.same(warnings, [])
})

onEachDatabase('one that hangs', { kinds: servers }, async (t, { database }) => {
  const { app, orm, proxy } = await proxied(t, database, { acquireTimeout: 1_000 })
  t.equal(await app.db.healthCheck(5_000), true)
  let asked = 0
  proxy.react = () => { asked++; return 'strand' }
  t.same(await Promise.all([app.db.healthCheck(20), app.db.healthCheck(20)]), [false, false])
  t.equal(asked, 1, 'it is asked once at a time')
  proxy.react = () => undefined
  for (let attempt = 0; attempt < 100 && !await app.db.healthCheck(100); attempt++) await sleep(10)
  t.equal(await app.db.healthCheck(5_000), true)
  t.same(await database.leftovers(orm), [])
  t.match(await app.db.stats(), { connections: { used: 0, waiting: 0 } })
})

onEachDatabase('one that hangs for good', { kinds: servers }, async (t, { database }) => {
  const { app, orm, proxy } = await proxied(t, database, { acquireTimeout: 100, closeTimeout: 100 })
  await orm.connect()
  proxy.react = () => 'strand'
  t.equal(await app.db.healthCheck(5_000), false)
  t.match(await app.db.stats(), { connections: { used: 0, waiting: 0 } })
})

onEachDatabase('one that lets nobody in', { kinds: servers }, async (t, { database }) => {
  const { app, proxy } = await proxied(t, database, { acquireTimeout: 50 })
  proxy.refuses = () => true
  t.equal(await app.db.healthCheck(5_000), false)
})

onEachDatabase('one whose connections are all taken', { plugin: { commitOnTeardown: true }, orm: { pool: { max: 1 } } }, async (t, { app, labels }) => {
  await app.db.run(async session => {
    await session.insert(Item, { label: 'a', amount: 0 })
    t.equal(await app.db.healthCheck(20), false)
  })
  t.same(await labels(), ['a'], 'whoever has it is not disturbed')
  t.equal(await app.db.healthCheck(5_000), true)
})

onEachDatabase('replicas', { kinds: servers }, async (t, { database }) => {
  const app = Fastify()
  const orm = await database.connect({ replicas: [{ name: 'replica', dbName: 'there_is_none' }] })
  await app.register(scopedDb, { orm, acquireTimeout: 100 })
  t.teardown(async () => {
    await app.close()
    await orm.close()
  })
  t.equal(await app.db.healthCheck(5_000), false)
})

void t.test('one without SQL', async t => {
  const orm = await MikroORM.init({ driver: MemoryDriver as never, dbName: 'memory', entities: [Item] })
  const app = Fastify()
  await app.register(scopedDb, { orm })
  t.equal(await app.db.healthCheck(), true)
  orm.driver.getConnection().checkConnection = async () => ({ ok: false, reason: 'it is gone' })
  t.equal(await app.db.healthCheck(), false)
  await app.close()
})
