import Fastify, { type RouteShorthandOptions } from 'fastify'
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import scopedDb, { db } from '../../plugin.ts'
import { post, postAndLeave } from '../support/clients.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('answered 2xx or 3xx: it is in the database', automatic, async (t, { app, labels }) => {
  app.post('/created', async (request, reply) => {
    const item = request.db.create(Item, { label: 'created' })
    reply.code(201).header('set-cookie', ['a=1', 'b=2'])
    return item
  })
  app.post('/redirected', async (request, reply) => {
    request.db.create(Item, { label: 'redirected' })
    return reply.redirect('/elsewhere', 303)
  })
  app.post('/empty', async (request, reply) => {
    request.db.create(Item, { label: 'empty' })
    await reply.code(204).send()
  })

  const created = await app.inject({ method: 'POST', url: '/created' })
  t.equal(created.statusCode, 201)
  t.type(created.json().id, 'number', 'the generated id is in the reply')
  t.equal((await app.inject({ method: 'POST', url: '/redirected' })).statusCode, 303)
  t.equal((await app.inject({ method: 'POST', url: '/empty' })).statusCode, 204)
  t.same(await labels(), ['created', 'empty', 'redirected'])
})

onEachDatabase('it is committed before the first byte is sent', automatic, async (t, { app, labels, listen }) => {
  const streams: Record<string, Readable> = {}
  app.post('/:kind', async (request, reply) => {
    const { kind } = request.params as { kind: string }
    request.db.create(Item, { label: kind })
    const stream = new Readable({ read () {} })
    stream.push('first byte')
    streams[kind] = stream
    if (kind === 'node') return reply.send(stream)
    const web = Readable.toWeb(stream) as ReadableStream
    return reply.send(kind === 'web' ? web : new Response(web, { status: 201 }))
  })
  const { port } = await listen()
  for (const kind of ['node', 'web', 'response']) {
    const client = await post(port, `/${kind}`)
    await client.until('first byte')
    t.ok((await labels()).includes(kind), `${kind}: committed while the body still streams`)
    streams[kind]?.push(null)
  }
})

onEachDatabase('a stream that fails before its first byte is an error like any other', automatic, async (t, { app, labels }) => {
  app.post('/file', async (request, reply) => {
    request.db.create(Item, { label: 'file' })
    return reply.send(createReadStream('/nowhere/to/be/found'))
  })
  app.post('/rows', async (request, reply) => {
    request.db.create(Item, { label: 'rows' })
    return reply.send(Readable.from((async function * () { throw new Error('at once') })()))
  })
  app.post('/failed', async (request, reply) => {
    request.db.create(Item, { label: 'failed' })
    const stream = Readable.from(['never'])
    stream.once('error', () => {}).destroy(new Error('before'))
    await new Promise(resolve => { setImmediate(resolve) })
    return reply.send(stream)
  })
  app.post('/empty', async (request, reply) => {
    request.db.create(Item, { label: 'empty' })
    return reply.send(Readable.from([]))
  })
  app.post('/ready', async (request, reply) => {
    request.db.create(Item, { label: 'ready' })
    const stream = new Readable({ read () {} })
    stream.push('ready')
    stream.push(null)
    await new Promise(resolve => { stream.once('readable', resolve) })
    return reply.send(stream)
  })
  for (const [url, status] of Object.entries({ '/file': 500, '/rows': 500, '/failed': 500, '/empty': 200, '/ready': 200 })) {
    const response = await app.inject({ method: 'POST', url })
    t.equal(response.statusCode, status, url)
  }
  t.same(await labels(), ['empty', 'ready'])
})

onEachDatabase('a silent stream does not outlast its request', automatic, async (t, { app, labels, listen, assertClean }) => {
  const silent = () => new Readable({ read () {} })
  app.post('/timeout', { handlerTimeout: 500 }, async (request, reply) => {
    request.db.create(Item, { label: 'timeout' })
    return reply.send(silent())
  })
  app.post('/gone', async (request, reply) => {
    request.db.create(Item, { label: 'gone' })
    await request.db.flush()
    arrived.open()
    return reply.send(silent())
  })
  app.get('/read', { handlerTimeout: 500 }, async (request, reply) => {
    await request.db.count(Item)
    return reply.send(silent())
  })
  const arrived = new Gate()
  const { origin, port } = await listen()
  const response = await fetch(`${origin}/timeout`, { method: 'POST' })
  t.equal(response.status, 503)
  t.match(await response.json(), { code: 'FST_ERR_HANDLER_TIMEOUT' })
  await postAndLeave(port, '/gone', arrived.opened)
  t.equal((await fetch(`${origin}/read`)).status, 503)
  await assertClean()
  t.same(await labels(), ['gone'], 'the handler had ended well')
})

onEachDatabase('a head that was written by hand', automatic, async (t, { app, labels, listen }) => {
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'by hand' })
    reply.raw.writeHead(202)
    return reply.send(Readable.from(['body']))
  })
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(response.status, 202)
  t.equal(await response.text(), 'body')
  t.same(await labels(), ['by hand'])
})

onEachDatabase('an event stream is committed at once, however long it is silent', automatic, async (t, { app, labels, listen, assertClean }) => {
  const events = new Readable({ read () {} })
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'subscribed' })
    return reply.type('text/event-stream').send(events)
  })
  const { port } = await listen()
  const client = await post(port, '/')
  while ((await labels()).length === 0) await new Promise(resolve => { setTimeout(resolve, 5) })
  events.push('data: at last\n\n')
  await client.until('at last')
  t.same(await labels(), ['subscribed'])
  client.leave()
  await assertClean()
})

onEachDatabase('an object as the reply needs no session', automatic, async (t, { app, logs }) => {
  app.get('/', async () => ({ without: 'a session' }))
  t.same((await app.inject('/')).json(), { without: 'a session' })
  t.same(logs.filter(({ level }) => level > 30), [])
})

onEachDatabase('a reply that fails after the commit is broken off, not answered with an error', automatic, async (t, { app, labels, listen, logs, assertClean }) => {
  const failing = () => new ReadableStream({ pull () { throw new Error('too late') } })
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'committed' })
    return reply.send(failing())
  })
  app.get('/', async (request, reply) => {
    await request.db.count(Item)
    return reply.send(failing())
  })
  app.post('/read', async (request, reply) => {
    await request.db.transactional(async em => await em.count(Item))
    return reply.send(failing())
  })
  app.post('/nothing', async (_request, reply) => reply.send(failing()))
  app.post('/400', { errorHandler: (error, _request, reply) => { void reply.code(400).send(error) } }, async (request, reply) => {
    request.db.create(Item, { label: 'committed, 400' })
    return reply.send(failing())
  })
  app.post('/handled', { errorHandler: (_error, _request, reply) => { void reply.code(200).send('in the end') } }, async (request, reply) => {
    request.db.create(Item, { label: 'committed, handled' })
    return reply.send(failing())
  })
  const { origin } = await listen()
  for (const path of ['/', '/400']) await t.rejects(fetch(`${origin}${path}`, { method: 'POST' }), path)
  t.equal(await (await fetch(`${origin}/handled`, { method: 'POST' })).text(), 'in the end', 'an answer of 200 is the truth')
  t.equal((await fetch(origin)).status, 500, 'where nothing was written an error is the truth')
  for (const path of ['/read', '/nothing']) t.match(await (await fetch(`${origin}${path}`, { method: 'POST' })).json(), { statusCode: 500, message: 'too late' }, path)
  await assertClean()
  t.match(logs.filter(line => line.msg.startsWith('a reply failed after its commit')), [{ err: { message: 'too late' } }, { err: { message: 'too late' } }])
  t.same(await labels(), ['committed', 'committed, 400', 'committed, handled'])
})

onEachDatabase('answered 4xx or 5xx: it is not', automatic, async (t, { app, labels, logs }) => {
  app.post('/caught', async (request, reply) => {
    try {
      request.db.create(Item, { label: 'caught' })
      await request.db.flush()
      throw new Error('on the way')
    } catch {
      return await reply.code(409).send({ conflict: true })
    }
  })
  app.post('/thrown', async request => {
    request.db.create(Item, { label: 'thrown' })
    await request.db.flush()
    throw new Error('thrown')
  })
  app.post('/sent', (request, reply) => {
    request.db.create(Item, { label: 'sent' })
    reply.send(new Error('sent'))
  })
  app.post('/late', async (request, reply) => {
    request.db.create(Item, { label: 'late' })
    await request.db.flush()
    reply.code(500)
    return { failed: true }
  })
  for (const [url, status] of Object.entries({ '/caught': 409, '/thrown': 500, '/sent': 500, '/late': 500 })) {
    t.equal((await app.inject({ method: 'POST', url })).statusCode, status, url)
  }
  t.same(await labels(), [])
  t.notOk(logs.some(line => line.msg.startsWith('unflushed changes')), 'what is rolled back was not forgotten')
})

onEachDatabase('an error that an error handler turns into a 200 rolls back', automatic, async (t, { app, labels }) => {
  app.setErrorHandler((_error, _request, reply) => reply.code(200).send({ fine: true }))
  app.post('/', async request => {
    request.db.create(Item, { label: 'hidden' })
    await request.db.flush()
    throw new Error('hidden')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

onEachDatabase('a doomed scope rolls back whatever the answer', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'doomed' })
    db.setRollbackOnly()
    await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', message: /db\.setRollbackOnly\(\) was called/ })
    await t.rejects(request.db.commit(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    return { fine: true }
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

onEachDatabase('a function as commitOnTeardown replaces the rule, dooming aside', {
  plugin: { commitOnTeardown: (request, reply, error) => request.url === '/keep' && reply.statusCode === 500 && error?.message === 'kept' }
}, async (t, { app, labels }) => {
  app.post('/keep', async request => {
    request.db.create(Item, { label: 'kept' })
    throw new Error('kept')
  })
  app.post('/drop', async request => request.db.create(Item, { label: 'dropped' }))
  app.post('/doomed', { config: { db: { commitOnTeardown: () => true } } }, async request => {
    db.setRollbackOnly()
    return request.db.create(Item, { label: 'doomed' })
  })
  t.match((await app.inject({ method: 'POST', url: '/keep' })).json(), { statusCode: 500, message: 'kept' })
  t.equal((await app.inject({ method: 'POST', url: '/drop' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/doomed' })).statusCode, 200)
  t.same(await labels(), ['kept'])
})

onEachDatabase('a rule that throws is an error of the request', {
  plugin: { commitOnTeardown: () => { throw new Error('no rule') } }
}, async (t, { app, labels }) => {
  app.post('/', async request => request.db.create(Item, { label: 'ruled' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'no rule' })
  t.same(await labels(), [])
})

onEachDatabase('a rule that gives a promise is refused', { plugin: { commitOnTeardown: (() => Promise.resolve(false)) as never } }, async (t, { app, labels }) => {
  app.post('/', async request => request.db.create(Item, { label: 'promised' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"commitOnTeardown" takes an answer of true or false/ })
  t.same(await labels(), [])
})

onEachDatabase('a failed commit is a failed request', automatic, async (t, { app, kind, labels, orm }) => {
  if (kind === 'sqlite') {
    // Checked by COMMIT, not by the statement.
    await orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  }
  const seen: unknown[] = []
  app.setErrorHandler(async (error, request, reply) => {
    seen.push(error)
    await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is rolled back\./ })
    return await reply.send({ handled: (error as Error).name })
  })
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'first' })
    if (kind === 'sqlite') await request.db.getConnection().execute('insert into child (item_id) values (4711)')
    else request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    reply.code(201)
    return 'a string: nothing is serialized, so the flush comes with the commit'
  })
  const response = await app.inject({ method: 'POST', url: '/' })
  t.equal(response.statusCode, 500, 'never the status of the success')
  t.equal(seen.length, 1, 'the error handler was called once')
  t.match(response.json(), { handled: /./ })
  t.same(await labels(), [])
})

onEachDatabase('what only fails after the last onSend hook is not committed', automatic, async (t, { app, labels }) => {
  app.post('/payload', async (request, reply) => {
    request.db.create(Item, { label: 'payload' })
    return reply.type('text/plain').send({ not: 'a string' })
  })
  app.post('/header', async (request, reply) => {
    request.db.create(Item, { label: 'header' })
    return reply.header('x-bad', 'line\nbreak').send('ok')
  })
  app.post('/header-name', async (request, reply) => {
    request.db.create(Item, { label: 'header name' })
    return reply.header('x bad', 'a space').send('ok')
  })
  app.post('/response', async (request, reply) => {
    request.db.create(Item, { label: 'response' })
    return reply.send(new Response('gone', { status: 410 }))
  })
  app.post('/consumed', async (request, reply) => {
    request.db.create(Item, { label: 'consumed' })
    const response = new Response('body')
    await response.text()
    return reply.send(response)
  })
  app.post('/locked', async (request, reply) => {
    request.db.create(Item, { label: 'locked' })
    const stream = new Blob(['body']).stream()
    stream.getReader()
    return reply.send(stream)
  })
  for (const url of ['/payload', '/header', '/header-name', '/response', '/consumed', '/locked']) {
    const { statusCode } = await app.inject({ method: 'POST', url })
    t.ok(statusCode >= 400, `${url}: ${statusCode}`)
  }
  t.same(await labels(), [])
})

onEachDatabase('a hook that comes later can still change the outcome', automatic, async (t, { app, labels }) => {
  app.addHook('onSend', async (request, reply) => {
    if (request.url === '/status') reply.code(503)
    if (request.url === '/error') throw new Error('in onSend')
  })
  app.post('/status', async request => request.db.create(Item, { label: 'status' }))
  app.post('/error', async request => request.db.create(Item, { label: 'error' }))
  t.equal((await app.inject({ method: 'POST', url: '/status' })).statusCode, 503)
  t.match((await app.inject({ method: 'POST', url: '/error' })).json(), { statusCode: 500, message: 'in onSend' })
  t.same(await labels(), [])
})

onEachDatabase('serialization that fails rolls back', automatic, async (t, { app, labels }) => {
  app.post('/', { schema: { response: { 200: { type: 'object', properties: { count: { type: 'integer' } }, required: ['count'] } } } }, async request => {
    request.db.create(Item, { label: 'unserializable' })
    return {}
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(await labels(), [])
})

onEachDatabase('validation errors and unknown routes cost nothing', automatic, async (t, { app }) => {
  app.post('/', { schema: { body: { type: 'object', required: ['name'] } } }, async () => 'never')
  t.equal((await app.inject({ method: 'POST', url: '/', payload: {} })).statusCode, 400)
  t.equal((await app.inject('/nowhere')).statusCode, 404)
})

onEachDatabase('a 404 handler that answers 200 commits', automatic, async (t, { app, labels }) => {
  app.setNotFoundHandler(async (request, reply) => {
    request.db.create(Item, { label: request.url })
    return await reply.code(request.url === '/page' ? 200 : 404).send('page')
  })
  t.equal((await app.inject('/page')).statusCode, 200)
  t.equal((await app.inject('/missing')).statusCode, 404)
  t.same(await labels(), ['/page'])
})

onEachDatabase('a flush that fails leaves nothing but a rollback', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'whole' })
    request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    await t.rejects(request.db.flush())
    await t.rejects(request.db.find(Item, {}), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', message: /its transaction has failed/, cause: { name: 'ForeignKeyConstraintViolationException' } })
    return 'as if nothing had happened'
  })
  app.post('/anew', async request => {
    request.db.create(Item, { label: 'broken' })
    request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    await t.rejects(request.db.flush())
    await db.rollback()
    request.db.create(Item, { label: 'anew' })
    return 'with a new transaction'
  })
  const response = await app.inject({ method: 'POST', url: '/' })
  t.match(response.json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  t.equal((await app.inject({ method: 'POST', url: '/anew' })).statusCode, 200)
  t.same(await labels(), ['anew'])
})

onEachDatabase('db.commit() and db.rollback() act now, and the next statement begins anew', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    await db.commit()
    request.db.create(Item, { label: 'a committed' })
    await db.commit()
    t.same(await labels(), ['a committed'])
    request.db.create(Item, { label: 'b rolled back' })
    await request.db.flush()
    await db.rollback()
    request.db.create(Item, { label: 'c committed with em' })
    await request.db.commit()
    t.same(await labels(), ['a committed', 'c committed with em'])
    await request.db.begin()
    request.db.create(Item, { label: 'd rolled back with em' })
    await request.db.flush()
    await request.db.rollback()
    t.equal(await request.db.count(Item), 2)
    request.db.create(Item, { label: 'e answered 500' })
    await request.db.flush()
    throw new Error('after all')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'after all' })
  t.same(await labels(), ['a committed', 'c committed with em'], 'what was committed early stays')
})

onEachDatabase('a reply that is sent twice commits once', automatic, async (t, { app, labels }) => {
  app.post('/object', async (request, reply) => {
    request.db.create(Item, { label: 'object' })
    reply.send({ first: true })
  })
  app.post('/string', async (request, reply) => {
    request.db.create(Item, { label: 'string' })
    reply.send('first')
  })
  t.same((await app.inject({ method: 'POST', url: '/object' })).json(), { first: true })
  t.equal((await app.inject({ method: 'POST', url: '/string' })).body, 'first')
  t.same(await labels(), ['object', 'string'])
})

onEachDatabase('em.begin() begins the transaction that the reply commits', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await request.db.begin()
    request.db.create(Item, { label: 'after' })
    return await request.db.count(Item, { label: 'before' }).then(String)
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, '1')
  t.same(await labels(), ['after', 'before'])
})

onEachDatabase('a read that fails outside the transaction does not doom it', automatic, async (t, { app, labels }) => {
  app.get('/', async request => {
    await t.rejects(request.db.execute('select nothing from nowhere'))
    await request.db.insert(Item, { label: 'a', amount: 0 })
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
  t.same(await labels(), ['a'])
})

onEachDatabase('without commitOnTeardown nothing is flushed by itself', { plugin: { commitOnTeardown: false } }, async (t, { app, labels, logs }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'forgotten' })
    return { fine: true }
  })
  app.post('/nothing', async request => ({ count: await request.db.count(Item) }))
  t.equal((await app.inject({ method: 'POST', url: '/nothing' })).statusCode, 200)
  t.notOk(logs.some(line => line.msg.startsWith('unflushed changes')))
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.ok(logs.some(line => line.msg.startsWith('unflushed changes')))
  t.same(await labels(), [])
})

onEachDatabase('what is rolled back anyway is not written before', automatic, async (t, { app, labels }) => {
  const twice = (em: typeof db.session) => {
    for (const name of ['one', 'two']) em.create(Item, { label: 'same', amount: name.length })
    return { fine: true }
  }
  app.post('/status', async (request, reply) => {
    reply.code(400)
    return twice(request.db)
  })
  app.post('/doomed', async request => {
    db.setRollbackOnly()
    return twice(request.db)
  })
  const errorHandler = (async (_error, request) => twice(request.db)) as Required<RouteShorthandOptions>['errorHandler']
  app.post('/thrown', { errorHandler }, async (_request, reply) => {
    reply.code(200)
    throw new Error('thrown')
  })
  for (const [url, status] of Object.entries({ '/status': 400, '/doomed': 200 })) {
    const response = await app.inject({ method: 'POST', url })
    t.same([response.statusCode, response.json()], [status, { fine: true }], url)
  }
  t.same((await app.inject({ method: 'POST', url: '/thrown' })).json(), { fine: true })
  t.same(await labels(), [])
})

onEachDatabase('an error that stops the commit brings its status, if it is one of an error', automatic, async (t, { app, orm, labels }) => {
  let statusCode: unknown
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { throw Object.assign(new Error('stopped'), { statusCode }) } })
  app.setErrorHandler(async (error, _request, reply) => await reply.send((error as Error).message))
  app.post('/', async request => request.db.create(Item, { label: 'stopped' }))
  for (const [given, answered] of [[409, 409], [400, 400], [399, 500], ['409', 500]]) {
    statusCode = given
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, answered)
  }
  t.same(await labels(), [])
})

onEachDatabase('a stream is not waited for where there turns out to be nothing to commit', automatic, async (t, { app, orm }) => {
  // Whether it has something to flush is not known before.
  orm.em.getEventManager().registerSubscriber({ async beforeFlush () {} })
  app.get('/', async (request, reply) => {
    await request.db.count(Item)
    const body = new Readable({ read () {} })
    app.db.afterCommit(() => {
      body.push('the end')
      body.push(null)
    })
    return await reply.send(body)
  })
  t.equal((await app.inject('/')).body, 'the end')
})

for (const commitOnTeardown of [false, true]) {
  onEachDatabase(`a reply that cannot be sent leaves the session to the error handler (commitOnTeardown: ${String(commitOnTeardown)})`, { plugin: { commitOnTeardown } }, async (t, { app, labels, assertClean }) => {
    app.setErrorHandler(async (_error, request, reply) => {
      request.db.create(Item, { label: request.url })
      await request.db.flush()
      reply.code(422).removeHeader('x-bad')
      return 'cannot be sent'
    })
    app.get('/unused', async (_request, reply) => await reply.header('x-bad', 'line\nbreak').send('ok'))
    app.get('/read', async (request, reply) => {
      await request.db.count(Item)
      return reply.header('x-bad', 'line\nbreak').send('ok')
    })
    for (const url of ['/unused', '/read']) {
      const { statusCode, body } = await app.inject(url)
      t.same([statusCode, body], [422, 'cannot be sent'], url)
    }
    t.same(await labels(), commitOnTeardown ? [] : ['/read', '/unused'])
    await assertClean()
  })
}

onEachDatabase('the first request makes the database', { kinds: ['mysql'] }, async (t, { database }) => {
  for (const path of ['/read', '/write']) {
    const orm = await database.connect({ dbName: `scoped_db_${randomBytes(6).toString('hex')}`, ensureDatabase: { create: true } })
    const app = Fastify()
    await app.register(scopedDb, { orm, commitOnTeardown: true })
    app.get('/read', async request => await request.db.count(Item).then(String))
    app.get('/write', { config: { db: { begin: 'statement' } } }, async request => {
      request.db.create(Item, { label: 'first' })
    })
    t.equal((await app.inject(path)).statusCode, 200, path)
    t.equal(await orm.em.fork().count(Item), path === '/read' ? 0 : 1)
    await app.close()
    await orm.schema.dropDatabase()
    await orm.close()
  }
})
