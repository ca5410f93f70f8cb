/** What other plugins add behind the hooks of this one, and hooks that take their time. */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteOptions } from 'fastify'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { postAndLeave } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'
import { onEachTransport } from '../support/transports.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })

const refuse = async (_request: FastifyRequest, reply: FastifyReply) => { reply.code(503) }

/** How a later plugin adds an onSend hook to a route. */
const WAYS: Record<string, (route: RouteOptions) => void> = {
  'a new list': route => { route.onSend = [route.onSend ?? []].flat().concat(refuse) },
  'the same list': route => { (route.onSend as unknown[]).push(refuse) },
  'a list that cannot be changed': route => { route.onSend = Object.freeze([...[route.onSend ?? []].flat(), refuse]) as never },
  'only its own': route => { route.onSend = refuse }
}

for (const [how, add] of Object.entries(WAYS)) {
  onEachTransport(`an onSend hook of a later plugin's onRoute comes before the decision: ${how}`, automatic, async (t, { app, labels, logs, transport, assertClean }) => {
    app.addHook('onRoute', add)
    app.post('/', { onSend: async () => {} }, async () => {
      await insert('late')
      return 'ok'
    })
    app.get('/', async request => await request.db.count(Item).then(String))
    t.equal((await transport.request('POST', '/')).status, 503)
    t.equal((await transport.request('HEAD', '/')).status, 503)
    await assertClean()
    t.same(await labels(), [])
    t.same(logs.filter(({ level }) => level === 40), [])
  })
}

onEachDatabase('an onSend hook that comes after the decision all the same is named at start', automatic, async (t, { app, logs }) => {
  app.addHook('onRoute', route => {
    const { onSend } = route
    if (route.url === '/replaced') Object.defineProperty(route, 'onSend', { value: [onSend, refuse].flat(), enumerable: true })
  })
  for (const url of ['/replaced', '/kept']) app.post(url, async () => 'ok')
  await app.ready()
  const warnings = logs.filter(({ level }) => level === 40)
  t.equal(warnings.length, 1)
  t.match(warnings, [{ route: 'POST /replaced', msg: /comes after its commit/ }])
})

onEachDatabase('routes that were there before the plugin, and an onSend hook that came later, are named at start', automatic, async (t, { orm }) => {
  const lines: { level: number, route?: string }[] = []
  for (const isChild of [false, true]) {
    lines.length = 0
    const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line) as { level: number }) } } } })
    app.get('/', async () => 'ok')
    app.route({ method: ['POST', 'PUT'], url: '/users/:id', handler: async () => 'ok' })
    app.get('/users', { exposeHeadRoute: false }, async () => 'ok')
    const add = async (to: FastifyInstance) => {
      await to.register(scopedDb, { orm, name: 'early' })
      await to.register(async child => { child.addHook('onSend', refuse) })
      t.same(lines, [], 'nothing comes later yet: what is for routes inside a context is for none of these')
      to.addHook('onSend', refuse)
    }
    await (isChild ? app.register(add) : add(app))
    await app.ready()
    t.same(lines.map(({ route }) => route).sort(), isChild ? [] : ['GET /users', 'GET, HEAD /', 'POST, PUT /users/:id'])
    await app.close()
  }
})

onEachTransport('reply.callNotFound() in a route: closed as soon as it is answered', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.setNotFoundHandler(async (request, reply) => await reply.code(request.url === '/found' ? 200 : 404).send('elsewhere'))
  for (const url of ['/lost', '/found']) {
    app.post(url, async (_request, reply) => {
      await insert(url)
      reply.callNotFound()
      return reply
    })
  }
  t.equal((await transport.request('POST', '/lost')).status, 404)
  t.equal((await transport.request('POST', '/found')).status, 200)
  for (let turn = 0; turn < 20 && app.db.openScopes > 0; turn++) await sleep(10)
  t.equal(app.db.openScopes, 0)
  await assertClean()
  t.same(await labels(), ['/found'])
})

for (const where of ['on another route', 'in another context', 'in the context of a route that has not found anything']) {
  onEachTransport(`onResponse hooks ${where}: closed as soon as it is answered`, automatic, async (t, { app, labels, transport, assertClean }) => {
    const hook = async () => { await sleep(1) }
    const isInContext = where.includes('context')
    app.setNotFoundHandler(async (_request, reply) => await reply.code(200).send('elsewhere'))
    app.get('/another', isInContext ? {} : { onResponse: hook }, async () => 'ok')
    const add = (to: FastifyInstance) => to.post('/', async (_request, reply) => {
      await insert('sent')
      return where.endsWith('anything') ? reply.callNotFound() : 'ok'
    })
    await app.register(async child => {
      if (isInContext) child.addHook('onResponse', hook)
      if (where.endsWith('anything')) add(child)
    })
    if (!where.endsWith('anything')) add(app)
    t.equal((await transport.request('POST', '/')).status, 200)
    for (let turn = 0; turn < 20 && app.db.openScopes > 0; turn++) await sleep(10)
    t.equal(app.db.openScopes, 0)
    await assertClean()
    t.same(await labels(), ['sent'])
  })
}

/** A hook that was there before the plugin. */
async function withEarlierHook (orm: never, hook: (request: FastifyRequest, reply: FastifyReply, done: () => void) => unknown): Promise<FastifyInstance> {
  const app = Fastify()
  app.addHook('onResponse', hook as never)
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'later', closeTimeout: 5_000 })
  return app
}

for (const took of [5, 2_300]) {
  onEachDatabase(`onResponse hooks have their session as long as they run, behind one that was there before the plugin and takes ${took} ms`, automatic, async (t, { orm, labels }) => {
    const app = await withEarlierHook(orm as never, async () => { await sleep(took === 5 ? 5 : 300) })
    const seen: unknown[] = []
    app.addHook('onResponse', (request, _reply, done) => {
      setTimeout(() => { request.db.count(Item).then(count => seen.push(count), (error: unknown) => seen.push(error)).finally(done) }, took)
    })
    app.addHook('onResponse', async request => { seen.push(await request.db.count(Item)) })
    app.post('/', { onResponse: async request => { seen.push(await request.db.count(Item)) } }, async () => {
      await insert('sent')
      return 'ok'
    })
    app.post('/hijacked', async (_request, reply) => {
      await insert('hijacked')
      reply.hijack()
      reply.raw.end('ok')
    })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    for (const path of ['/', '/hijacked']) t.equal((await fetch(origin + path, { method: 'POST', headers: { connection: 'close' } })).status, 200)
    await app.close()
    t.same(seen.length, 5)
    t.ok(seen.every(count => typeof count === 'number' && count > 0), String(seen))
    t.same(await labels(), ['hijacked', 'sent'])
  })
}

for (const when of ['before the plugin', 'while nobody waits for it']) {
  onEachDatabase(`an onResponse hook that was added ${when} finds its session closed`, automatic, async (t, { orm, database }) => {
    const seen: unknown[] = []
    const hook = async (request: FastifyRequest) => {
      await sleep(1)
      seen.push(await request.db.count(Item).catch(({ code }: { code: string }) => code))
    }
    const app = Fastify()
    if (when === 'before the plugin') app.addHook('onResponse', hook)
    void app.register(scopedDb, { orm, commitOnTeardown: true, name: 'unknown-hooks' })
    if (when !== 'before the plugin') app.addHook('onResponse', hook)
    void app.register(async child => {
      for (const url of ['/used', '/unused']) {
        child.post(url, async () => {
          if (url === '/used') await insert('sent')
          return 'ok'
        })
      }
    })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    for (const url of ['/used', '/unused']) t.equal((await fetch(origin + url, { method: 'POST' })).status, 200)
    while (seen.length < 2) await sleep(10)
    t.same(seen, Array(2).fill('FST_SCOPED_DB_SCOPE_CLOSED'))
    await app.close()
    t.same(await database.leftovers(orm), [])
  })
}

for (const [how, fail] of Object.entries<(done: (error?: Error) => void) => unknown>({
  throws: () => { throw new Error('in onResponse') },
  rejects: async () => await Promise.reject(new Error('in onResponse')),
  'says so': done => { done(new Error('in onResponse')) }
})) {
  for (const isEarlier of [true, false]) {
    onEachDatabase(`an onResponse hook that ${how} keeps no session (${isEarlier ? 'before' : 'after'} the plugin)`, automatic, async (t, { orm, labels, database }) => {
      const app = await withEarlierHook(orm as never, (_request, _reply, done) => isEarlier ? fail(done) : done())
      if (!isEarlier) app.addHook('onResponse', ((_request: FastifyRequest, _reply: FastifyReply, done: () => void) => fail(done)) as never)
      app.post('/', async () => {
        await insert('sent')
        return 'ok'
      })
      const origin = await app.listen({ port: 0, host: '127.0.0.1' })
      t.equal((await fetch(origin, { method: 'POST' })).status, 200)
      for (let turn = 0; turn < 500 && app.db.openScopes > 0; turn++) await sleep(10)
      t.equal(app.db.openScopes, 0)
      t.same(await database.leftovers(orm), [])
      t.same(await labels(), ['sent'])
      await app.close()
    })
  }
}

onEachDatabase('what Fastify refuses as a hook or a handler, it still refuses', automatic, async (t, { app, orm }) => {
  const unfit = async (_request: FastifyRequest, _reply: FastifyReply, _done: () => void) => {}
  t.throws(() => { app.addHook('onResponse', unfit as never) }, { code: 'FST_ERR_HOOK_INVALID_ASYNC_HANDLER' })
  t.throws(() => { app.addHook('onResponse', undefined as never) }, { code: 'FST_ERR_HOOK_INVALID_HANDLER' })
  t.throws(() => { app.setErrorHandler('none' as never) }, { code: 'FST_ERR_ERROR_HANDLER_NOT_FN' })
  t.ok(orm)
})

onEachTransport('a route without a scope, with handlers and hooks of every kind', automatic, async (t, { app, transport }) => {
  const ran: string[] = []
  app.setErrorHandler(async (_error, _request, reply) => await reply.code(418).send('error handler'))
  app.setNotFoundHandler({ preHandler: (_request, _reply, done) => { ran.push('preHandler'); done() } }, (_request, reply) => { reply.code(404).send('not-found handler') })
  app.addHook('onResponse', async () => { ran.push('onResponse') })
  const config = { db: false as const }
  app.get('/throws', { config }, async () => { throw new Error('no') })
  app.get('/lost', { config }, (_request, reply) => { reply.callNotFound() })
  app.get('/waits', { config }, async (_request, reply) => {
    setTimeout(() => { reply.send('sent') }, 5)
    await reply
  })
  t.match(await transport.request('GET', '/throws'), { status: 418, body: 'error handler' })
  t.match(await transport.request('GET', '/lost'), { status: 404, body: 'not-found handler' })
  t.match(await transport.request('GET', '/waits'), { status: 200, body: 'sent' })
  t.same(ran.sort(), ['onResponse', 'onResponse', 'onResponse', 'preHandler'])
})

onEachDatabase('the error handler of a route that a later plugin takes away', automatic, async (t, { app }) => {
  app.addHook('onRoute', route => { if (route.url === '/taken') route.errorHandler = undefined as never })
  for (const url of ['/taken', '/kept']) {
    app.get(url, { errorHandler: (_error, _request, reply) => { reply.code(418).send('own') } }, async () => { throw new Error('no') })
  }
  t.equal((await app.inject('/taken')).statusCode, 500)
  t.equal((await app.inject('/kept')).statusCode, 418)
})

onEachDatabase('a later plugin that puts its own function around a handler', automatic, async (t, { app, labels, listen, assertClean }) => {
  let runs = 0
  const arrived = new Gate()
  app.addHook('onRoute', route => {
    const { handler } = route
    route.handler = async function (request, reply) {
      const result: unknown = await handler.call(this, request, reply)
      await sleep(50)
      await insert(`around ${request.url}`)
      return result
    }
  })
  app.post('/left', async (_request, reply) => {
    await insert('left')
    arrived.open()
    await once(reply.raw, 'close')
  })
  app.post('/again', { config: { db: { retry: 2 } } }, async () => {
    if (++runs === 1) throw Object.assign(new Error('deadlock'), { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' })
    await insert('again')
    return 'ok'
  })
  const { port, origin } = await listen()
  await postAndLeave(port, '/left', arrived.opened)
  await assertClean()
  t.same(await labels(), ['around /left', 'left'])
  t.equal((await fetch(`${origin}/again`, { method: 'POST' })).status, 200)
  t.equal(runs, 2)
  await assertClean()
  t.same(await labels(), ['again', 'around /again', 'around /left', 'left'])
})
