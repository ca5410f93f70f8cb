/** Replies that are streams: committed before their first byte. */
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { post, postAndLeave } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

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
