import Fastify, { type FastifyReply } from 'fastify'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb from '../../plugin.ts'
import { post, postAndLeave, rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

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
