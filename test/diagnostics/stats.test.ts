/** `db.stats()`: what is counted, and what is there now. */
import Fastify from 'fastify'
import { MikroORM } from '@mikro-orm/sqlite'
import t from 'tap'
import scopedDb from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { untilQueued } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { MemoryDriver } from '../support/memory-driver.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { deadlock } from '../support/retries.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const insert = { label: 'a', amount: 0 }

onEachDatabase('statements, transactions, retries', automatic, async (t, { app, assertClean }) => {
  const none = { openScopes: 0, retries: 0, connections: { used: 0, waiting: 0 }, statements: 0, transactions: { committed: 0, rolledBack: 0, unknown: 0 } }
  t.match(await app.db.stats(), none)
  const read = async () => await app.db.run(async session => { await session.count(Item) }, { commitOnTeardown: false })
  // A new connection may be asked for its name.
  await read()
  const { statements } = await app.db.stats()
  await read()
  t.match(await app.db.stats(), { ...none, statements: statements + 1 })
  await app.db.run(async session => { await session.insert(Item, insert) })
  const once = await app.db.stats()
  t.match(once, { transactions: { committed: 1, rolledBack: 0, unknown: 0 }, retries: 0 })
  t.ok(once.statements >= statements + 4, 'BEGIN and COMMIT are statements')
  let attempt = 0
  await app.db.run(async session => {
    await session.insert(Item, { ...insert, label: 'b' })
    if (++attempt < 3) throw deadlock()
  }, { retry: { attempts: 3, backoff: 1 } })
  await t.rejects(app.db.run(async session => {
    await session.insert(Item, { ...insert, label: 'c' })
    throw new Error('undone')
  }))
  await assertClean()
  t.match(await app.db.stats(), { openScopes: 0, retries: 2, connections: { used: 0, waiting: 0 }, transactions: { committed: 2, rolledBack: 3, unknown: 0 } })
})

onEachDatabase('connections', { ...automatic, orm: { pool: { max: 1 } }, kinds: servers }, async (t, { app, orm, assertClean }) => {
  const [holds, go] = [new Gate(), new Gate()]
  const held = app.db.run(async session => {
    await session.insert(Item, insert)
    holds.open()
    await go.opened
  })
  await holds.opened
  t.match(await app.db.stats(), { openScopes: 1, connections: { used: 1, idle: 0, waiting: 0 } })
  const waiting = app.db.run(async session => await session.count(Item))
  await untilQueued(orm)
  t.match(await app.db.stats(), { openScopes: 2, connections: { used: 1, idle: 0, waiting: 1 } })
  go.open()
  await Promise.all([held, waiting])
  await assertClean()
  t.match(await app.db.stats(), { openScopes: 0, connections: { used: 0, idle: 1, waiting: 0 } })
})

onEachDatabase('who waits in vain waits no more', { plugin: { commitOnTeardown: true, acquireTimeout: 50 }, kinds: servers, orm: { pool: { max: 1 } } }, async (t, { app }) => {
  await app.db.run(async session => {
    await session.insert(Item, insert)
    await t.rejects(app.db.run(async session => await session.count(Item)), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
    t.match(await app.db.stats(), { connections: { used: 1, waiting: 0 } })
  })
})

onEachDatabase('one that gets no connection at all, and a COMMIT whose answer is lost', { kinds: servers }, async (t, { database }) => {
  const { app, orm, proxy } = await proxied(t, database, { commitOnTeardown: true, acquireTimeout: 300 }, { ensureDatabase: false })
  proxy.refuses = () => true
  await t.rejects(app.db.run(async session => await session.count(Item)))
  t.match(await app.db.stats(), { connections: { used: 0, waiting: 0 }, statements: 0 })
  proxy.refuses = () => false
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  await t.rejects(app.db.run(async session => { await session.insert(Item, insert) }), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.match(await app.db.stats(), { transactions: { committed: 0, rolledBack: 0, unknown: 1 } })
  t.same(await database.leftovers(orm), [])
})

void t.test('without a pool, nobody knows of one', async t => {
  const orm = await MikroORM.init({ driver: MemoryDriver as never, dbName: 'memory', entities: [Item] })
  const app = Fastify()
  await app.register(scopedDb, { orm })
  t.match(await app.db.stats(), { connections: { used: 0, idle: undefined, waiting: 0 } })
  await app.close()
})

onEachDatabase('before the first connection nobody knows either, and none is made', { kinds: servers }, async (t, { database }) => {
  const { app, orm } = await proxied(t, database)
  t.match(await app.db.stats(), { connections: { used: 0, idle: undefined, waiting: 0 } })
  t.equal(orm.driver.getConnection()['connected'], false)
})
