import multipart from '@fastify/multipart'
import { EntityManager } from '@mikro-orm/core'
import { AsyncResource } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { postSlowly } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

/** Kept at module level, long before any database is registered. */
const keptSession = db.session

/** The identity of the session that this code sees. */
const seen = () => db.session.id

onEachDatabase('request.db, db.session, orm.em and repositories are one session', { plugin: { commitOnTeardown: true } }, async (t, { app, orm }) => {
  const repository = orm.em.getRepository(Item)
  app.post('/', async request => {
    t.equal(db.hasSession(), false, 'none yet')
    const item = keptSession.create(Item, { label: 'one' })
    t.equal(db.hasSession(), true)
    t.equal(seen(), request.db.id)
    t.equal(app.db.session.id, request.db.id)
    t.equal(orm.em.getContext(), request.db)
    t.ok(request.db.getUnitOfWork().getPersistStack().has(item))
    await request.db.flush()
    t.equal(await orm.em.findOne(Item, { label: 'one' }), item)
    t.equal(await repository.findOne({ label: 'one' }), item)
    t.ok(request.db instanceof EntityManager)
    t.ok(request.db instanceof (orm.em.constructor as new () => EntityManager), 'the driver\'s own class')
    t.ok(keptSession instanceof EntityManager)
    t.ok('flush' in keptSession)
    t.same(Object.getPrototypeOf(keptSession), Object.getPrototypeOf(request.db))
    return item
  })
  t.ok(keptSession instanceof EntityManager, 'outside a scope as well')
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
})

onEachDatabase('the proxy passes assignments on', {}, async (t, { app }) => {
  app.get('/', async request => {
    Object.assign(db.session, { note: 'kept' })
    t.match(request.db, { note: 'kept' })
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
})

onEachDatabase('overlapping requests never share a session', { plugin: { commitOnTeardown: true, begin: 'write' } }, async (t, { app, orm }) => {
  const all = 8
  let arrived = 0
  const together = new Gate()
  app.get('/', async request => {
    const { id } = request.db
    if (++arrived === all) together.open()
    await together.opened
    for (let step = 0; step < 5; step++) {
      await sleep(Math.random() * 5)
      t.equal(seen(), id)
      t.equal(orm.em.id, id)
    }
    return id
  })
  const replies = await Promise.all(Array.from({ length: all }, () => app.inject('/')))
  t.equal(new Set(replies.map(reply => reply.body)).size, all)
})

onEachDatabase('the current scope is right in every hook', {}, async (t, { app, listen }) => {
  const places: Record<string, Record<string, unknown>> = {}
  const note = (place: string, url: string) => { (places[url] ??= {})[place] = seen() }
  app.addHook('onRequest', async request => note('onRequest', request.url))
  app.addHook('preParsing', async request => note('preParsing', request.url))
  app.addHook('preValidation', async request => note('preValidation', request.url))
  app.addHook('preHandler', async request => note('preHandler', request.url))
  app.addHook('preSerialization', async request => note('preSerialization', request.url))
  app.addHook('onSend', async request => note('onSend', request.url))
  app.addHook('onError', async request => note('onError', request.url))
  app.addHook('onResponse', async request => {
    note('onResponse', request.url)
    t.equal(await db.session.count(Item), 0, 'onResponse can read')
    note('onResponse, after await', request.url)
  })
  app.setErrorHandler(async (_error, request, reply) => {
    note('error handler', request.url)
    return await reply.code(500).send({ failed: true })
  })
  app.get('/well', async request => {
    note('handler', request.url)
    await sleep(1)
    note('after await', request.url)
    return { fine: true }
  })
  app.get('/badly', async () => { throw new Error('badly') })
  app.get('/late', { handlerTimeout: 30 }, async request => {
    note('handler', request.url)
    await new Promise(() => {})
  })
  app.get('/elsewhere', (_request, reply) => {
    // A reply from a callback that belongs to nobody.
    outside.runInAsyncScope(() => { void reply.send({ fine: true }) })
  })
  const { origin } = await listen()
  for (const url of ['/well', '/badly', '/late', '/elsewhere']) await (await fetch(origin + url)).text()
  while (!Object.values(places).every(place => 'onResponse, after await' in place)) await sleep(1)
  for (const [url, seenThere] of Object.entries(places)) {
    t.equal(new Set(Object.values(seenThere)).size, 1, `${url}: ${Object.keys(seenThere).join(', ')}`)
  }
  t.match(Object.keys(places['/well'] ?? {}), { length: 10 })
  t.ok(['onError', 'error handler', 'onSend', 'onResponse'].every(place => place in (places['/late'] ?? {})))
  t.equal(new Set(Object.values(places).map(place => place['onRequest'])).size, 4)
})

const outside = new AsyncResource('nobody')

/** A hook that goes on in a context that belongs to nobody. */
const lose = (_request: unknown, _reply: unknown, done: () => void) => { outside.runInAsyncScope(done) }

onEachDatabase('hooks that lose the scope: those of later stages have it, and so does the handler', { plugin: { commitOnTeardown: true } }, async (t, { app, labels }) => {
  const places: Record<string, Record<string, unknown>> = {}
  const note = (place: string) => async (request: FastifyRequest) => { (places[`${request.method} ${request.url}`] ??= {})[place] = [seen(), request.db.id] }
  const handler = async (request: FastifyRequest) => {
    await note('handler')(request)
    await db.session.insert(Item, { label: `${request.method} ${request.url}` })
    return {}
  }
  const method = ['GET', 'POST']
  await app.register(async child => {
    child.route({ method, url: '/context', handler })
    child.addHook('preValidation', note('preValidation'))
    child.addHook('preValidation', lose)
    child.addHook('preHandler', note('preHandler'))
    child.addHook('preHandler', lose)
    child.addHook('onResponse', note('onResponse'))
  })
  app.route({ method, url: '/route', handler, preValidation: [note('preValidation'), lose], preHandler: [note('preHandler'), lose], onResponse: note('onResponse') })
  app.route({ method, url: '/handler', handler })
  app.addHook('onRequest', lose)
  await app.register(async child => {
    child.setNotFoundHandler({ preValidation: note('preValidation'), preHandler: note('preHandler') }, handler)
  }, { prefix: '/lost' })
  for (const url of ['/context', '/route', '/handler', '/lost/nowhere']) {
    for (const one of method) t.equal((await app.inject({ method: one as 'GET', url })).statusCode, 200, `${one} ${url}`)
  }
  const noted: Record<string, string[]> = {
    context: ['handler', 'onResponse', 'preHandler', 'preValidation'],
    route: ['handler', 'onResponse', 'preHandler', 'preValidation'],
    handler: ['handler'],
    nowhere: ['handler', 'preHandler', 'preValidation']
  }
  for (const [request, seenThere] of Object.entries(places)) {
    t.same(Object.keys(seenThere).sort(), noted[request.split('/').at(-1) ?? ''], request)
    t.equal(new Set(Object.values(seenThere).flat()).size, 1, request)
  }
  t.equal(Object.keys(places).length, 8)
  t.same((await labels()).sort(), Object.keys(places).sort())
})

onEachDatabase('timers, emitters and streams that the handler starts', {}, async (t, { app }) => {
  app.get('/', async request => {
    const { id } = request.db
    const emitter = new EventEmitter()
    emitter.on('event', () => t.equal(seen(), id, 'in an emitter'))
    setTimeout(() => emitter.emit('event'), 1)
    await once(emitter, 'event')
    await new Promise<void>(resolve => setImmediate(() => {
      t.equal(seen(), id, 'in an immediate')
      resolve()
    }))
    for await (const chunk of Readable.from(['a', 'b'])) t.equal(seen(), id, `in a stream: ${chunk}`)
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
})

onEachDatabase('the flush before serialization, of a reply that is sent from elsewhere', { plugin: { commitOnTeardown: true } }, async (t, { app, orm, labels }) => {
  const flushedIn: unknown[] = []
  orm.em.getEventManager().registerSubscriber({ async beforeFlush () { flushedIn.push(seen()) } })
  let id: unknown
  app.post('/', async (request, reply) => {
    id = request.db.id
    const item = request.db.create(Item, { label: 'elsewhere' })
    outside.runInAsyncScope(() => { void reply.send(item) })
    return reply
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.equal(flushedIn[0], id)
  t.same(await labels(), ['elsewhere'])
})

onEachDatabase('after body parsing', { plugin: { commitOnTeardown: true } }, async (t, { app, listen, labels }) => {
  await app.register(multipart)
  const expected = new Map<string, unknown>()
  app.addHook('onRequest', async request => { expected.set(request.url, seen()) })
  app.addContentTypeParser('text/x-raw', (_request, payload, done) => {
    let body = ''
    payload.on('data', chunk => { body += String(chunk) })
    payload.on('end', () => { outside.runInAsyncScope(() => done(null, body)) })
  })
  const check = (url: string) => {
    t.equal(seen(), expected.get(url), url)
    db.session.create(Item, { label: url })
    return url
  }
  app.post('/json', async request => {
    t.same(request.body, { text: 'x'.repeat(200_000) })
    return check(request.url)
  })
  app.post('/raw', async request => {
    t.equal(request.body, 'one two')
    return check(request.url)
  })
  app.post('/multipart', async request => {
    for await (const part of request.files()) {
      t.equal((await part.toBuffer()).length, 100_000)
    }
    return check(request.url)
  })
  const { origin } = await listen()
  const json = JSON.stringify({ text: 'x'.repeat(200_000) })
  const pieces = [json.slice(0, 10), json.slice(10, 100_000), json.slice(100_000)]
  const slow = async () => { await sleep(5) }
  t.equal((await postSlowly(origin, '/json', 'application/json', pieces, slow)).status, 200)
  t.equal((await postSlowly(origin, '/raw', 'text/x-raw', ['one', ' two'], slow)).status, 200)
  const file = ['--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n', 'x'.repeat(100_000), '\r\n--b--\r\n']
  t.equal((await postSlowly(origin, '/multipart', 'multipart/form-data; boundary=b', file, slow)).status, 200)
  t.same(await labels(), ['/json', '/multipart', '/raw'])
})

onEachDatabase('db: false opens no scope', { plugin: { commitOnTeardown: true }, orm: { allowGlobalContext: true } }, async (t, { app, orm }) => {
  app.get('/', { config: { db: false } }, async request => {
    t.throws(() => request.db, { code: 'FST_SCOPED_DB_NO_SCOPE' })
    t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_NO_SCOPE' })
    t.equal(orm.em.getContext(), orm.em, 'MikroORM\'s own behaviour')
    return await db.run(async session => await session.count(Item))
  })
  app.get('/outer', async () => (await app.inject('/')).body)
  t.equal((await app.inject('/')).body, '0')
  t.equal((await app.inject('/outer')).body, '0', 'nor is an enclosing request seen')
})

onEachDatabase('a request that is injected inside another has a scope of its own', { plugin: { begin: 'write' } }, async (t, { app, orm }) => {
  app.get('/inner', async request => [request.db.id, orm.em.id])
  app.get('/outer', async request => {
    const { id } = request.db
    const inner = await request.db.transactional(async () => (await app.inject('/inner')).json())
    t.equal(inner[0], inner[1])
    t.not(inner[0], id)
    t.equal(seen(), id)
    return 'ok'
  })
  t.equal((await app.inject('/outer')).statusCode, 200)
})

onEachDatabase('routes that were added before the plugin was loaded', {}, async (t, { orm, labels, database }) => {
  const { default: Fastify } = await import('fastify')
  const { default: scopedDb } = await import('../../plugin.ts')
  const app = Fastify()
  void app.register(scopedDb, { orm, commitOnTeardown: true, name: 'later' })
  app.post('/', async request => request.db.create(Item, { label: 'early route' }))
  app.post('/fails', async request => {
    request.db.create(Item, { label: 'failing' })
    await request.db.flush()
    throw new Error('failing')
  })
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    request.db.create(Item, { label: 'dropped' })
    return 'not flushed'
  })
  app.post('/wrong', { config: { db: { begin: 'never' as never } } }, async () => 'never')
  app.get('/none', { config: { db: false } }, async request => {
    t.throws(() => request.db, { code: 'FST_SCOPED_DB_NO_SCOPE' })
    return 'ok'
  })
  for (const [url, status] of Object.entries({ '/': 200, '/fails': 500, '/manual': 200, '/wrong': 500 })) {
    t.equal((await app.inject({ method: 'POST', url })).statusCode, status, url)
  }
  t.equal((await app.inject('/none')).statusCode, 200)
  t.equal(app.db.openScopes, 0)
  t.same(await database.leftovers(orm), [])
  t.same(await labels(), ['early route'])
  await app.close()
})

onEachDatabase('not-found handlers can be left to Fastify', { kinds: ['sqlite'] }, async (t, { app }) => {
  Reflect.apply(app.setNotFoundHandler, app, [])
  t.equal((await app.inject('/nowhere')).statusCode, 404)
})
