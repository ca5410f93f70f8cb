import Fastify, { type FastifyReply } from 'fastify'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import scopedDb, { db } from '../../plugin.ts'
import { post, postAndLeave, rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

for (const [path, finish] of Object.entries<(reply: FastifyReply) => unknown>({
  '/value': () => ({ done: true }),
  '/nothing': () => undefined,
  '/conflict': reply => reply.code(409).send(),
  '/thrown': () => { throw new Error('thrown') }
})) {
  onEachDatabase(`client gone while the handler runs, which decides: ${path}`, automatic, async (t, { app, labels, listen, assertClean }) => {
    const arrived = new Gate()
    const gone = new Gate()
    app.post(path, async (request, reply) => {
      request.raw.once('close', () => gone.open())
      request.db.create(Item, { label: path })
      await request.db.flush()
      arrived.open()
      await gone.opened
      return finish(reply)
    })
    const { port } = await listen()
    await postAndLeave(port, path, arrived.opened)
    await gone.opened
    await assertClean()
    t.same(await labels(), path === '/value' || path === '/nothing' ? [path] : [])
  })
}

onEachDatabase('client gone before the session is made', automatic, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  const gone = new Gate()
  app.post('/', async request => {
    request.raw.once('close', () => gone.open())
    arrived.open()
    await gone.opened
    await sleep(10)
    request.db.create(Item, { label: 'late' })
    return 'nobody listens'
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await gone.opened
  for (let attempt = 0; attempt < 500 && (await labels()).length === 0; attempt++) await sleep(10)
  await assertClean()
  t.same(await labels(), ['late'])
})

for (const [how, config] of Object.entries({ once: {}, 'up to twice': { db: { retry: 2 } } })) {
  onEachDatabase(`client gone before the handler is called, which returns nothing and is run ${how}`, automatic, async (t, { app, labels, listen, assertClean }) => {
    const arrived = new Gate()
    app.addHook('preHandler', async request => {
      await request.db.insert(Item, { label: 'preHandler', amount: 0 })
      arrived.open()
      await once(request.raw.socket, 'close')
      await sleep(10)
    })
    app.post('/', { config }, async () => {})
    const { port } = await listen()
    await postAndLeave(port, '/', arrived.opened)
    await assertClean()
    for (let attempt = 0; attempt < 100 && (await labels()).length === 0; attempt++) await sleep(10)
    t.same(await labels(), ['preHandler'], 'the handler had ended well')
  })
}

onEachDatabase('client gone, and an error handler that returns nothing', automatic, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  app.setErrorHandler(async (_error, _request, reply) => { reply.code(400) })
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'thrown', amount: 0 })
    arrived.open()
    await once(request.raw.socket, 'close')
    throw new Error('thrown')
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('client gone, and a handler that never ends', automatic, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  app.post('/', { handlerTimeout: 200 }, async request => {
    await request.db.insert(Item, { label: 'stuck', amount: 0 })
    arrived.open()
    await new Promise(() => {})
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('client gone before a reply that was ended by hand has gone out', automatic, async (t, { app, labels, listen, assertClean }) => {
  const ended = new Gate()
  app.post('/', (request, reply) => {
    void request.db.insert(Item, { label: 'by hand', amount: 0 }).then(() => {
      reply.hijack()
      reply.raw.end('x'.repeat(50_000_000))
      ended.open()
    })
  })
  const { port } = await listen()
  const client = await post(port, '/')
  client.socket.pause()
  await ended.opened
  client.leave()
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('client gone during the upload', automatic, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  app.addHook('preParsing', async request => {
    request.db.create(Item, { label: 'uploading' })
    await request.db.flush()
    arrived.open()
  })
  app.post('/', async () => 'never')
  const { port } = await listen()
  const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Type: text/plain', 'Content-Length: 100', '', 'half'])
  await arrived.opened
  client.leave()
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('client gone while the handler runs, whose reply fails in its flush', automatic, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  app.post('/', async (request, reply) => {
    arrived.open()
    await once(reply.raw, 'close')
    for (const label of ['same', 'same']) request.db.create(Item, { label })
    return { sent: 'to nobody' }
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('client gone while the handler of a route runs that was added before the plugin', {}, async (t, { labels, orm }) => {
  const app = Fastify()
  const arrived = new Gate()
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'gone' })
    arrived.open()
    await once(reply.raw, 'close')
    return { sent: 'to nobody' }
  })
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  await postAndLeave(port, '/', arrived.opened)
  // Waits for the scope.
  await app.close()
  t.same(await labels(), ['gone'])
})

onEachDatabase('client gone while the reply is written', automatic, async (t, { app, labels, listen, assertClean }) => {
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'answered' })
    const stream = new Readable({ read () {} })
    stream.push('first part')
    return reply.send(stream)
  })
  const { port } = await listen()
  const client = await post(port, '/')
  await client.until('first part')
  client.leave()
  await assertClean()
  t.same(await labels(), ['answered'])
})

onEachDatabase('client gone after hijack', automatic, async (t, { app, labels, listen, assertClean }) => {
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'hijacked' })
    await request.db.flush()
    reply.hijack()
    reply.raw.write('first part')
  })
  const { port } = await listen()
  const client = await post(port, '/')
  await client.until('first part')
  client.leave()
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('hijacked replies are completed by the same rule at their end', automatic, async (t, { app, labels, listen, assertClean, logs }) => {
  app.post('/ok', async (request, reply) => {
    request.db.create(Item, { label: 'ok' })
    reply.hijack()
    reply.raw.end('done')
  })
  app.post('/error', async (request, reply) => {
    request.db.create(Item, { label: 'error' })
    reply.hijack()
    reply.raw.writeHead(500).end('failed')
  })
  app.post('/early', async (request, reply) => {
    request.db.create(Item, { label: 'early' })
    await db.commit()
    t.same((await labels()).includes('early'), true, 'committed before the first byte')
    reply.hijack()
    reply.raw.end('done')
  })
  app.post('/failing', async (request, reply) => {
    request.db.create(Item, { label: 'ok' })
    reply.hijack()
    reply.raw.end('done')
  })
  const { origin } = await listen()
  for (const path of ['/ok', '/error', '/early', '/failing']) {
    await (await fetch(origin + path, { method: 'POST' })).text()
    await assertClean()
  }
  t.same(await labels(), ['early', 'ok'])
  t.match(logs.filter(line => line.msg === 'the commit of a request failed after its reply had begun'), [{ err: { message: /./ } }])
})

for (const [mode, options] of Object.entries({ automatic, manual })) {
  onEachDatabase(`handlerTimeout: rolled back at once, and the handler can write nothing more (${mode})`, options, async (t, { app, labels, listen, assertClean, orm }) => {
    const answered = new Gate()
    const finished = new Gate<unknown[]>()
    app.post('/', { handlerTimeout: 500 }, async request => {
      const session = request.db
      const attempts: unknown[] = []
      const attempt = async (work: () => unknown) => {
        try {
          await work()
          attempts.push('went through')
        } catch (error) {
          attempts.push((error as { code?: string }).code)
        }
      }
      await session.begin()
      session.create(Item, { label: 'before' })
      await session.flush()
      await answered.opened
      await attempt(() => session.create(Item, { label: 'after' }))
      await attempt(() => session.flush())
      await attempt(() => session.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => session.find(Item, {}))
      await attempt(() => session.transactional(async em => await em.insert(Item, { label: 'after', amount: 1 })))
      await attempt(() => session.getConnection().execute("insert into item (label, amount) values ('after', 1)"))
      await attempt(() => orm.em.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => db.session.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => request.db.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => session.commit())
      finished.open(attempts)
      return 'too late'
    })
    const { origin } = await listen()
    const response = await fetch(origin, { method: 'POST' })
    t.equal(response.status, 503)
    await assertClean()
    answered.open()
    t.same(await finished.opened, Array(10).fill('FST_SCOPED_DB_SCOPE_CLOSED'))
    t.same(await labels(), [])
  })
}

onEachDatabase('handlerTimeout inside a nested transaction', automatic, async (t, { app, labels, listen, assertClean }) => {
  const answered = new Gate()
  const finished = new Gate<unknown>()
  app.post('/', { handlerTimeout: 500 }, async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'nested' })
      await em.flush()
      await answered.opened
      em.create(Item, { label: 'after' })
    }).catch((error: unknown) => finished.open(error))
  })
  const { origin } = await listen()
  t.equal((await fetch(origin, { method: 'POST' })).status, 503)
  await assertClean()
  answered.open()
  t.match(await finished.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  t.same(await labels(), [])
})

onEachDatabase('handlerTimeout while a new transaction beside the own one of the scope is open', { ...automatic, kinds: ['mysql'] }, async (t, { app, labels, listen, assertClean }) => {
  const answered = new Gate()
  const finished = new Gate<unknown>()
  app.post('/', { handlerTimeout: 500 }, async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'beside' })
      await em.flush()
      await answered.opened
    }, { propagation: 'requires_new' as never }).catch((error: unknown) => finished.open(error))
  })
  const { origin } = await listen()
  t.equal((await fetch(origin, { method: 'POST' })).status, 503)
  await assertClean()
  answered.open()
  t.match(await finished.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  t.same(await labels(), [])
})

onEachDatabase('a handlerTimeout during the commit does not take the commit back', automatic, async (t, { app, labels, listen, assertClean, orm }) => {
  const timedOut = new Gate()
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { await timedOut.opened } })
  app.addHook('onError', async () => { setImmediate(() => { timedOut.open() }) })
  app.post('/', { handlerTimeout: 500 }, async (request, reply) => {
    request.db.create(Item, { label: 'slow' })
    reply.code(201).header('x-kept', 'yes')
    return { slow: true }
  })
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(response.status, 201)
  t.equal(response.headers.get('x-kept'), 'yes')
  t.same(await response.json(), { slow: true })
  await assertClean()
  t.same(await labels(), ['slow'])
})

onEachDatabase('a handlerTimeout during the flush rolls back', automatic, async (t, { app, labels, listen, assertClean, orm }) => {
  const timedOut = new Gate()
  orm.em.getEventManager().registerSubscriber({ async afterFlush () { await timedOut.opened } })
  app.addHook('onError', async () => { setImmediate(() => { timedOut.open() }) })
  app.post('/', { handlerTimeout: 500 }, async request => request.db.create(Item, { label: 'slow' }))
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(response.status, 503)
  t.match(await response.json(), { code: 'FST_ERR_HANDLER_TIMEOUT' })
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('work left running after the reply writes nothing', automatic, async (t, { app, labels, assertClean }) => {
  const answered = new Gate()
  const finished = new Gate<unknown>()
  app.post('/', async request => {
    const { db: session } = request
    void (async () => {
      await answered.opened
      session.create(Item, { label: 'left running' })
      await session.flush()
    })().catch((error: unknown) => finished.open(error))
    return request.db.create(Item, { label: 'answered' })
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await assertClean()
  answered.open()
  t.match(await finished.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is closed\./ })
  t.same(await labels(), ['answered'])
})

onEachDatabase('while the body streams the session reads, and refuses to write', automatic, async (t, { app, labels, listen, assertClean }) => {
  const refused = new Gate<unknown>()
  app.post('/', async (request, reply) => {
    for (const label of ['a', 'b', 'c']) request.db.create(Item, { label })
    return reply.type('text/plain').send(Readable.from((async function * () {
      for await (const item of request.db.stream(Item, { orderBy: { id: 'asc' } })) yield `${item.label};`
      yield `${await request.db.count(Item)};`
      await request.db.insert(Item, { label: 'late', amount: 0 }).catch((error: unknown) => refused.open(error))
      yield 'end'
    })()))
  })
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(await response.text(), 'a;b;c;3;end')
  t.match(await refused.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is committed\./ })
  await assertClean()
  t.same(await labels(), ['a', 'b', 'c'])
})

onEachDatabase('a session that is first asked for while the body streams reads, and refuses to write', automatic, async (t, { app, labels, listen, assertClean }) => {
  app.post('/', async (request, reply) => reply.type('text/plain').send(Readable.from((async function * () {
    yield 'begun;'
    yield `${await request.db.count(Item)};`
    await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    yield 'end'
  })())))
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(await response.text(), 'begun;0;end')
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('of what a handler returned nothing is kept once it is sent', automatic, async (t, { app, assertClean }) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const requests: unknown[] = []
  let returned: WeakRef<object> | undefined
  app.post('/', async request => {
    requests.push(request)
    const item = request.db.create(Item, { label: 'returned' })
    returned = new WeakRef(item)
    return item
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await assertClean()
  for (let turn = 0; turn < 3; turn++) {
    await new Promise(setImmediate)
    collect()
  }
  t.equal(requests.length, 1, 'the request is still there')
  t.equal(returned?.deref(), undefined)
})

onEachDatabase('a stream of rows that breaks off', automatic, async (t, { app, database, listen, assertClean }) => {
  const em = database.witness.em.fork()
  for (let n = 0; n < 2000; n++) em.create(Item, { label: `row ${n} ${'x'.repeat(200)}` })
  await em.flush()
  const ended = new Gate()
  app.get('/', async (request, reply) => {
    return reply.type('text/plain').send(Readable.from((async function * () {
      try {
        for await (const item of request.db.stream(Item, {})) yield item.label
      } finally {
        ended.open()
      }
    })()))
  })
  const { port } = await listen()
  const client = await rawClient(port, ['GET / HTTP/1.1', 'Host: localhost', '', ''])
  await client.until('row 1')
  client.leave()
  await ended.opened
  await assertClean()
  t.pass('the connection is free again')
})

onEachDatabase('keep-alive and pipelined requests have a session each', automatic, async (t, { app, labels, listen, assertClean }) => {
  const sessions = new Set<unknown>()
  app.post('/:label', async request => {
    sessions.add(request.db)
    const { label } = request.params as { label: string }
    request.db.create(Item, { label })
    if (label === 'b') throw new Error('only this one')
    return label
  })
  const { port } = await listen()
  const client = await rawClient(port, ['a', 'b', 'c'].flatMap(label => [`POST /${label} HTTP/1.1`, 'Host: localhost', 'Content-Length: 0', '', '']).slice(0, -1).concat(''))
  while ((client.received().match(/HTTP\/1\.1/g) ?? []).length < 3) await once(client.socket, 'data')
  client.leave()
  t.equal(sessions.size, 3)
  await assertClean()
  t.same(await labels(), ['a', 'c'])
})

onEachDatabase('HEAD is answered like GET', automatic, async (t, { app, listen, assertClean }) => {
  app.get('/', async request => await request.db.count(Item).then(String))
  const { origin } = await listen()
  t.equal((await fetch(origin, { method: 'HEAD' })).status, 200)
  await assertClean()
})

onEachDatabase('HTTP/2: replies, errors and streams that are reset', automatic, async (t, { orm, labels, database }) => {
  const app = Fastify({ http2: true })
  const arrived = new Gate()
  const gone = new Gate()
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'http2' })
  app.post('/ok', async request => request.db.create(Item, { label: 'ok' }))
  app.post('/error', async request => {
    request.db.create(Item, { label: 'error' })
    await request.db.flush()
    throw new Error('error')
  })
  app.post('/reset', async request => {
    request.db.create(Item, { label: 'reset' })
    await request.db.flush()
    request.raw.once('close', () => gone.open())
    arrived.open()
    await gone.opened
    await sleep(10)
    return request.db.create(Item, { label: 'reset, later' })
  })
  const lateArrived = new Gate()
  app.post('/late', async request => {
    lateArrived.open()
    await once(request.raw, 'close')
    await sleep(20)
    return request.db.create(Item, { label: 'late session' })
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const client = connectHttp2(origin)
  for (const [path, status] of [['/ok', 200], ['/error', 500]] as const) {
    const stream = client.request({ ':method': 'POST', ':path': path })
    stream.end()
    const [headers] = await once(stream, 'response') as [Record<string, unknown>]
    t.equal(headers[':status'], status)
    stream.resume()
    await once(stream, 'close')
  }
  const late = client.request({ ':method': 'POST', ':path': '/late' })
  late.on('error', () => {})
  late.end()
  await lateArrived.opened
  late.close(8)
  const stream = client.request({ ':method': 'POST', ':path': '/reset' })
  stream.on('error', () => {})
  stream.end()
  await arrived.opened
  stream.close(8)
  await gone.opened
  for (let attempt = 0; attempt < 500 && app.db.openScopes > 0; attempt++) await sleep(10)
  t.equal(app.db.openScopes, 0)
  t.same(await database.leftovers(orm), [])
  for (let attempt = 0; attempt < 100 && (await labels()).length < 4; attempt++) await sleep(10)
  t.same(await labels(), ['late session', 'ok', 'reset', 'reset, later'])
  t.equal(app.db.openScopes, 0)
  client.close()
  await app.close()
})

onEachDatabase('app.close() lets requests in flight complete and closes the ORM after the last scope', automatic, async (t, { database, labels }) => {
  const app = Fastify()
  const arrived = { listening: new Gate(), gone: new Gate() }
  const go = new Gate()
  const gone = new Gate()
  await app.register(scopedDb, { orm: database.options, commitOnTeardown: true, begin: 'write' })
  const write = async (label: 'listening' | 'gone') => {
    await db.session.count(Item)
    arrived[label].open()
    await go.opened
    db.session.create(Item, { label })
    return label
  }
  app.post('/listening', async () => await write('listening'))
  app.post('/gone', async request => {
    request.raw.once('close', () => gone.open())
    return await write('gone')
  })
  const closing = new Gate()
  // Called before the plugin's own, which then has to wait for the job.
  app.addHook('onClose', async () => { closing.open() })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const port = Number(new URL(origin).port)
  const job = app.db.run(async session => {
    await closing.opened
    await sleep(20)
    session.create(Item, { label: 'job' })
  })
  const client = await post(port, '/listening')
  const leaving = await post(port, '/gone')
  await Promise.all([arrived.listening.opened, arrived.gone.opened])
  leaving.leave()
  await gone.opened
  const { orm } = app.db
  const closed = app.close()
  await sleep(20)
  go.open()
  await client.until('200 OK')
  await job
  await closed
  t.same(await labels(), ['gone', 'job', 'listening'])
  t.equal(await orm.isConnected(), false, 'the ORM that the plugin made is closed')
})

onEachDatabase('errors at teardown are logged and poison nothing', automatic, async (t, { app, orm, labels, logs }) => {
  let fails = true
  orm.em.getEventManager().registerSubscriber({
    async afterTransactionRollback () {
      if (fails) throw new Error('in a subscriber')
    }
  })
  app.post('/:label', async request => {
    await request.db.insert(Item, { label: (request.params as { label: string }).label, amount: 0 })
    if (fails) throw new Error('roll back')
    return 'ok'
  })
  t.match((await app.inject({ method: 'POST', url: '/first' })).json(), { statusCode: 500, message: 'roll back' })
  t.match(logs.find(line => line.msg === 'teardown of a database scope failed'), { err: { message: 'in a subscriber' } })
  fails = false
  t.equal((await app.inject({ method: 'POST', url: '/second' })).statusCode, 200)
  t.same(await labels(), ['second'])
})

onEachDatabase('a hook that answers before the scope is there', {}, async (t, { orm }) => {
  const app = Fastify()
  app.addHook('onRequest', async (_request, reply) => await reply.code(401).send('no'))
  await app.register(scopedDb, { orm, name: 'refused', commitOnTeardown: true })
  app.get('/', async () => 'never')
  t.equal((await app.inject('/')).statusCode, 401)
  await app.close()
})

onEachDatabase('an onResponse hook that fails does not keep the session', automatic, async (t, { orm, labels }) => {
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'failing-hook' })
  app.addHook('onResponse', async () => { throw new Error('in onResponse') })
  app.post('/', async request => request.db.create(Item, { label: 'hooked' }))
  app.post('/hijacked', async (request, reply) => {
    await request.db.insert(Item, { label: 'hijacked', amount: 0 })
    reply.hijack()
    reply.raw.end('ok')
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal((await fetch(origin, { method: 'POST' })).status, 200)
  t.equal((await fetch(`${origin}/hijacked`, { method: 'POST' })).status, 200)
  for (let attempt = 0; attempt < 500 && app.db.openScopes > 0; attempt++) await sleep(10)
  t.equal(app.db.openScopes, 0)
  t.same(await labels(), ['hijacked', 'hooked'])
  await app.close()
})

onEachDatabase('subscribers that throw can stop a commit, but neither take one back nor stop a rollback', automatic, async (t, { app, orm, labels, logs, assertClean }) => {
  let failing = ''
  const fail = (event: string) => async () => { if (failing === event) throw new Error(event) }
  orm.em.getEventManager().registerSubscriber({
    beforeTransactionCommit: fail('before commit'),
    afterTransactionCommit: fail('after commit'),
    beforeTransactionRollback: fail('before rollback'),
    afterTransactionRollback: fail('after rollback')
  })
  app.post('/ok', async request => request.db.create(Item, { label: failing }))
  app.post('/error', async request => {
    await request.db.insert(Item, { label: failing, amount: 0 })
    throw new Error('roll back')
  })
  for (const [event, url, status] of [['before commit', '/ok', 500], ['after commit', '/ok', 200], ['before rollback', '/error', 500], ['after rollback', '/error', 500]] as const) {
    failing = event
    t.equal((await app.inject({ method: 'POST', url })).statusCode, status, event)
    await assertClean()
  }
  t.same(await labels(), ['after commit'])
  t.same(logs.filter(line => line.msg === 'teardown of a database scope failed').map(line => (line['err'] as Error).message), ['after commit', 'before rollback', 'after rollback'])
})

for (const [mode, options] of Object.entries({ automatic, manual })) {
  onEachDatabase(`a session that is first asked for after the reply (${mode})`, options, async (t, { app, labels }) => {
    const attempts = new Gate<unknown>()
    app.post('/', async request => {
      setTimeout(() => {
        Promise.resolve().then(() => request.db.insert(Item, { label: 'late', amount: 0 })).then(attempts.open.bind(attempts), (error: unknown) => attempts.open(error))
      }, 50)
      return 'ok'
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
    t.match(await attempts.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    t.same(await labels(), [])
  })
}

onEachDatabase('what was kept of a session cannot begin a transaction after its end', manual, async (t, { app, labels }) => {
  const answered = new Gate()
  const attempts = new Gate<unknown[]>()
  app.post('/', async request => {
    const kysely = request.db.getKysely()
    const { db } = request
    const connection = db.getConnection()
    void answered.opened.then(async () => await Promise.all([
      (async () => await kysely.transaction().execute(async () => {}))(),
      (async () => await kysely.startTransaction().execute())(),
      connection.transactional(async () => {}),
      connection.begin(),
      (async () => db.getConnection())()
    ].map(attempt => attempt.then(() => 'begun', (error: Error) => error.message.split('.')[0])))).then(codes => attempts.open(codes))
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  answered.open()
  t.same(await attempts.opened, Array(5).fill('fastify-scoped-db: this scope is closed'))
  t.same(await labels(), [])
})

onEachDatabase('a query log that fails at teardown', { ...automatic, orm: { debug: ['query'], colors: false, logger: message => { if (message.endsWith('rollback')) throw new Error('no space left') } } }, async (t, { app, logs, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'logged', amount: 0 })
    throw new Error('roll back')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back' })
  t.match(logs.find(line => line.msg === 'teardown of a database scope failed'), { err: { message: 'no space left' } })
  t.same(await labels(), [])
})

onEachDatabase('db.remove() does not hold up the end of a request', automatic, async (t, { app }) => {
  app.post('/', async request => {
    await request.db.count(Item)
    await db.remove()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await new Promise(resolve => { setImmediate(resolve) })
  t.equal(app.db.openScopes, 0)
})

for (const [mode, options] of Object.entries({ automatic, manual })) {
  onEachDatabase(`what a hook asks for after a rollback only reads (${mode})`, options, async (t, { app, labels }) => {
    const checked = new Gate()
    app.addHook('onResponse', async request => {
      t.equal(await request.db.count(Item), 0)
      await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is rolled back\./ })
      await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
      checked.open()
    })
    app.setErrorHandler<Error>(async (error, _request, reply) => { await reply.code(error.message === 'answered 200' ? 200 : 400).send('no') })
    app.post('/without-session', async (_request, reply) => await reply.code(400).send('no'))
    app.post('/thrown', async () => { throw new Error('answered 200') })
    app.post('/with-session', async (request, reply) => {
      await request.db.count(Item)
      return await reply.code(400).send('no')
    })
    for (const url of ['/without-session', '/with-session', '/thrown']) t.equal((await app.inject({ method: 'POST', url })).statusCode, url === '/thrown' ? 200 : 400, url)
    await checked.opened
    t.same(await labels(), [])
  })
}

onEachDatabase('what a hook asks for after a commit only reads', automatic, async (t, { app, labels }) => {
  const checked = new Gate()
  app.addHook('onResponse', async request => {
    await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is committed\./ })
    t.equal(await request.db.count(Item), 0)
    checked.open()
  })
  app.post('/', async () => 'text')
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await checked.opened
  t.same(await labels(), [])
})
