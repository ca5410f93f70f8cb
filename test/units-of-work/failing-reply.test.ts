/** Replies that fail once the handler has ended well. */
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('a reply that fails after the commit is broken off, not answered with an error', automatic, async (t, { app, labels, listen, logs, assertClean }) => {
  // A web stream of another make is sent without a look into it.
  const failing = () => ({ getReader: () => ({ read: async () => { throw new Error('too late') }, cancel: async () => {} }) })
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
