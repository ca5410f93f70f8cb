/** Plugins that change, or make, replies: what the client gets in the end decides. */
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import fastifyStatic from '@fastify/static'
import underPressure from '@fastify/under-pressure'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'

const automatic = { plugin: { commitOnTeardown: true, mapErrors: true } }

const insert = async (label: string) => await db.session.insert(Item, { label })

onEachDatabase('@fastify/etag: a 304 of a success is one', automatic, async (t, { app, labels }) => {
  await app.register(etag)
  app.get('/', async () => {
    await insert(`visit ${await db.session.count(Item)}`)
    return { hello: 'world' }
  })
  const first = await app.inject('/')
  const again = await app.inject({ url: '/', headers: { 'if-none-match': String(first.headers.etag) } })
  t.same([first.statusCode, again.statusCode, again.body], [200, 304, ''])
  t.same(await labels(), ['visit 0', 'visit 1'])
})

onEachDatabase('@fastify/etag: a 409 that the client knows is a 304, and rolled back like a 409', automatic, async (t, { app, labels }) => {
  await app.register(etag)
  app.post('/', async (_request, reply) => {
    await insert('refused')
    return await reply.code(409).send({})
  })
  const refused = await app.inject({ method: 'POST', url: '/' })
  const known = await app.inject({ method: 'POST', url: '/', headers: { 'if-none-match': String(refused.headers.etag) } })
  t.same([refused.statusCode, known.statusCode], [409, 304])
  t.same(await labels(), [])
})

onEachDatabase('@fastify/compress: what is compressed is committed before its first byte', automatic, async (t, { app, labels, listen }) => {
  await app.register(compress, { threshold: 0 })
  const text = 'hello '.repeat(1000)
  app.post('/kept', async (_request, reply) => {
    await insert('kept')
    return await reply.type('text/plain').send(text)
  })
  app.post('/refused', async (_request, reply) => {
    await insert('refused')
    return await reply.code(409).type('text/plain').send(text)
  })
  app.post('/twice', async () => db.session.create(Item, { label: 'kept' }))
  app.post('/at-commit', async (_request, reply) => {
    await insert('at commit')
    db.setRollbackOnly()
    return await reply.type('text/plain').send(text)
  })
  const { origin } = await listen()
  for (const encoding of ['gzip', 'br', 'identity']) {
    const ask = async (path: string) => {
      const reply = await fetch(`${origin}${path}`, { method: 'POST', headers: { 'accept-encoding': encoding } })
      return { status: reply.status, encoding: reply.headers.get('content-encoding') ?? 'identity', body: await reply.text() }
    }
    t.same(await ask('/kept'), { status: 200, encoding, body: text })
    t.same(await labels(), ['kept'])
    t.same(await ask('/refused'), { status: 409, encoding, body: text })
    t.match(await ask('/twice'), { status: 409, body: /FST_SCOPED_DB_CONFLICT/ })
    t.same(await ask('/at-commit'), { status: 200, encoding, body: text })
    t.same(await labels(), ['kept'])
    await app.db.run(async session => { await session.nativeDelete(Item, {}) })
  }
})

onEachDatabase('@fastify/compress: a COMMIT that is refused is an error that can be read', { ...automatic, kinds: ['sqlite'] }, async (t, { app, labels, listen, orm }) => {
  // Checked by COMMIT, not by the statement.
  await orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  await app.register(compress, { threshold: 0 })
  app.post('/', async (_request, reply) => {
    await insert('refused')
    await db.session.execute('insert into child (item_id) values (4711)')
    return await reply.type('text/plain').send('hello '.repeat(1000))
  })
  const { origin } = await listen()
  for (const encoding of ['gzip', 'br', 'identity']) {
    const reply = await fetch(origin, { method: 'POST', headers: { 'accept-encoding': encoding } })
    t.equal(reply.status, 409)
    t.match(await reply.text(), /FST_SCOPED_DB_CONFLICT/)
    t.same(await labels(), [])
  }
})

onEachDatabase('@fastify/static: files beside routes, and sent by them', automatic, async (t, { app, labels, listen }) => {
  const root = t.testdir({ 'hello.txt': 'hello' })
  await app.register(fastifyStatic, { root, prefix: '/files/' })
  let opened = 0
  app.db.on('opened', () => { opened++ })
  app.get('/sent', async (_request, reply) => {
    await insert('sent')
    return reply.sendFile('hello.txt')
  })
  app.get('/missing', async (_request, reply) => {
    await insert('missing')
    return reply.sendFile('nothing.txt')
  })
  const { origin } = await listen()
  const ask = async (path: string) => {
    const reply = await fetch(`${origin}${path}`)
    return [reply.status, (await reply.text()).slice(0, 5)]
  }
  t.same(await ask('/files/hello.txt'), [200, 'hello'])
  t.equal((await ask('/files/nothing.txt'))[0], 404)
  t.equal(opened, 0, 'no session for a file')
  t.same(await ask('/sent'), [200, 'hello'])
  t.equal((await ask('/missing'))[0], 404)
  t.same(await labels(), ['sent'])
})

onEachDatabase('@fastify/static: a client that leaves in the middle of a file', automatic, async (t, { app, labels, listen }) => {
  await app.register(fastifyStatic, { root: t.testdir({ 'large.txt': 'x'.repeat(10_000_000) }), serve: false })
  app.get('/', async (_request, reply) => {
    await insert('sent')
    return reply.sendFile('large.txt')
  })
  const { port } = await listen()
  const client = await rawClient(port, ['GET / HTTP/1.1', 'Host: localhost', '', ''])
  await client.until('xxx')
  client.leave()
  t.same(await labels(), ['sent'])
})

onEachDatabase('@fastify/rate-limit: who comes too often has written nothing', automatic, async (t, { app, labels }) => {
  await app.register(rateLimit, { max: 1, hook: 'preHandler', keyGenerator: request => String(request.headers['x-key']) })
  app.addHook('onRequest', async request => { if (request.url === '/early') await insert(String(request.id)) })
  app.post('/', async () => { await insert('let in') })
  app.post('/early', async () => 'ok')
  const ask = async (url: string, key: string) => (await app.inject({ method: 'POST', url, headers: { 'x-key': key } })).statusCode
  t.same([await ask('/', 'a'), await ask('/', 'a')], [200, 429])
  t.same(await labels(), ['let in'])
  t.same([await ask('/early', 'b'), await ask('/early', 'b')], [200, 429])
  t.equal((await labels()).length, 2, 'what an earlier hook had written is rolled back')
})

/** Counts in a table, in units of work of their own: what a request counts is to stay when it is answered 429. */
class CountsInDatabase implements FastifyRateLimitStore {
  incr (key: string, callback: (error: Error | null, result?: { current: number, ttl: number }) => void): void {
    db.run(async session => {
      const item = await session.findOne(Item, { label: key }) ?? session.create(Item, { label: key, amount: 0 })
      return ++item.amount
    }).then(current => { callback(null, { current, ttl: 1000 }) }, callback)
  }

  child () { return this }
}

onEachDatabase('@fastify/rate-limit: counts in the same database', automatic, async (t, { app, labels }) => {
  await app.register(rateLimit, { max: 2, store: CountsInDatabase, keyGenerator: () => 'client' })
  app.post('/', async (_request, reply) => {
    await insert('refused')
    return await reply.code(409).send({})
  })
  const ask = async () => (await app.inject({ method: 'POST', url: '/' })).statusCode
  t.same([await ask(), await ask(), await ask(), await ask()], [409, 409, 429, 429])
  t.same(await labels(), ['client'])
})

onEachDatabase('@fastify/under-pressure: its health check has db.run()', automatic, async (t, { app }) => {
  let isHealthy = true
  await app.register(underPressure, {
    exposeStatusRoute: true,
    healthCheckInterval: -1,
    healthCheck: async () => isHealthy && await db.run(async session => (await session.execute('select 1 as one')).length === 1)
  })
  let handled = 0
  app.get('/', async () => ++handled + await db.session.count(Item))
  t.equal((await app.inject('/status')).statusCode, 200)
  t.equal((await app.inject('/')).statusCode, 200)
  isHealthy = false
  t.equal((await app.inject('/status')).statusCode, 503)
  t.equal(handled, 1)
})

onEachDatabase('@fastify/under-pressure: with db.healthCheck, beside a server that hangs', { kinds: servers }, async (t, { database }) => {
  const { app, orm, proxy } = await proxied(t, database, { ...automatic.plugin, acquireTimeout: 300 })
  let limit = 10_000
  await app.register(underPressure, { exposeStatusRoute: true, healthCheckInterval: -1, healthCheck: async () => await app.db.healthCheck(limit) })
  const status = async () => (await app.inject('/status')).statusCode
  t.equal(await status(), 200)
  limit = 20
  proxy.react = () => 'strand'
  t.same([await status(), await status()], [503, 503])
  proxy.react = () => undefined
  limit = 10_000
  while (await status() !== 200) await sleep(20)
  t.same(await database.leftovers(orm), [])
})
