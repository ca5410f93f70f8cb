/** Units of work that wait for a connection. */
import type { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify from 'fastify'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

onEachDatabase('a connection that breaks when nobody waits for it any more', { kinds: servers }, async (t, { database }) => {
  const printed = t.capture(console, 'error')
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const connected = once(silent, 'connection')
  const { port } = silent.address() as AddressInfo
  const orm = await database.connect({ clientUrl: `mysql://root@127.0.0.1:${port}`, ensureDatabase: false })
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'silent', acquireTimeout: 50 })
  app.get('/', async request => await request.db.count(Item))
  const response = await app.inject('/')
  t.match(response.json(), { statusCode: 503, code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
  t.equal(response.headers['retry-after'], '1')
  const [socket] = await connected as [Socket]
  socket.destroy()
  await sleep(50)
  await app.close()
  await orm.close()
  silent.close()
  t.same(printed.args(), [], 'Kysely has nothing to print')
})

onEachDatabase('waiting for a pooled connection ends in a 503, and the late connection goes back', {
  plugin: { commitOnTeardown: true, acquireTimeout: 500 }, orm: { pool: { max: 1 } }
}, async (t, { app, labels, assertClean }) => {
  const holding = new Gate()
  const go = new Gate()
  app.post('/hold', async request => {
    await request.db.insert(Item, { label: 'held', amount: 0 })
    holding.open()
    await go.opened
    return 'ok'
  })
  app.post('/begin', async request => request.db.create(Item, { label: 'waiting' }))
  app.get('/read', async request => await request.db.count(Item).then(String))
  app.get('/stream', async request => {
    for await (const item of request.db.stream(Item, {})) t.fail(item.label)
  })
  app.get('/nothing', async () => 'not stopped')
  const held = app.inject({ method: 'POST', url: '/hold' })
  await holding.opened
  for (const [method, url] of [['POST', '/begin'], ['GET', '/read'], ['GET', '/stream']] as const) {
    const response = await app.inject({ method, url })
    t.equal(response.statusCode, 503, url)
    t.equal(response.headers['retry-after'], '1')
    t.match(response.json(), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT', message: /500 ms/ })
  }
  t.equal((await app.inject('/nothing')).body, 'not stopped')
  go.open()
  t.equal((await held).statusCode, 200)
  await assertClean()
  t.equal((await app.inject('/read')).body, '1')
  t.same(await labels(), ['held'])
})

for (const [what, use] of Object.entries({
  'a statement': async (session: SqlEntityManager) => { await session.insert(Item, { label: 'late', amount: 0 }) },
  'a stream': async (session: SqlEntityManager) => {
    const read: unknown[] = []
    for await (const item of session.stream(Item, {})) read.push(item)
  }
})) {
  onEachDatabase(`${what} that still waits for a connection when its scope ends is never sent`, {
    plugin: { commitOnTeardown: false }, orm: { pool: { max: 1 } }
  }, async (t, { app, labels, assertClean }) => {
    const holding = new Gate()
    const go = new Gate()
    const outcome = new Gate<unknown>()
    app.post('/', { handlerTimeout: 30 }, async request => {
      await use(request.db).then(() => outcome.open('done'), (error: unknown) => outcome.open(error))
    })
    await app.ready()
    const held = db.run(async session => {
      await session.begin()
      await session.insert(Item, { label: 'held', amount: 0 })
      holding.open()
      await go.opened
      await session.commit()
    })
    await holding.opened
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 503)
    go.open()
    await held
    t.match(await outcome.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    await assertClean()
    t.same(await labels(), ['held'])
  })
}

onEachDatabase('a scope that ends while its transaction waits for a connection that never comes', { plugin: { commitOnTeardown: true, acquireTimeout: 300 }, orm: { pool: { max: 1 } } }, async (t, { app, labels, assertClean }) => {
  await app.ready()
  const holder = app.db.open({ commitOnTeardown: true })
  await holder.session.insert(Item, { label: 'held', amount: 0 })
  const waiting = app.db.open({ commitOnTeardown: true })
  const refused = t.rejects(waiting.session.insert(Item, { label: 'never', amount: 0 }), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
  // Until it waits.
  await new Promise(setImmediate)
  await waiting[Symbol.asyncDispose]()
  await refused
  await holder.commit()
  await holder[Symbol.asyncDispose]()
  await assertClean()
  t.same(await labels(), ['held'])
})
