import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { openSocket } from './clients.ts'
import chat from './recipes/websocket.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('what a handler writes is committed while its socket lives on', automatic, async (t, { app, labels, listen, assertClean }) => {
  await app.register(websocket)
  app.get('/', { websocket: true }, async socket => {
    db.session.create(Item, { label: 'connected' })
    await db.commit()
    socket.send('hello')
    db.session.create(Item, { label: 'at its end' })
  })
  const { origin } = await listen()
  const socket = await openSocket(origin, '/')
  t.equal(await socket.next(), 'hello')
  await assertClean()
  t.same(await labels(), ['at its end', 'connected'])
  t.equal(socket.isOpen, true)
  socket.leave()
})

onEachDatabase('a handler that fails is rolled back', automatic, async (t, { app, labels, listen, assertClean }) => {
  await app.register(websocket)
  app.get('/', { websocket: true }, async () => {
    await db.session.insert(Item, { label: 'connected' })
    throw new Error('no')
  })
  const { origin } = await listen()
  const socket = await openSocket(origin, '/')
  await assertClean()
  t.same(await labels(), [])
  socket.leave()
})

onEachDatabase('who is not let in has written nothing', automatic, async (t, { app, labels, listen }) => {
  await app.register(websocket)
  const login = async () => {
    await db.session.insert(Item, { label: 'attempt' })
    throw Object.assign(new Error('Who are you?'), { statusCode: 401 })
  }
  app.get('/', { websocket: true, onRequest: login }, async () => {})
  const { origin } = await listen()
  const { status } = await openSocket(origin, '/')
  t.equal(status, 401)
  t.same(await labels(), [])
})

onEachDatabase('each message is a unit of work of its own, with db.run()', automatic, async (t, { app, labels, logs, listen, assertClean }) => {
  await app.register(websocket)
  await app.register(chat)
  const { origin } = await listen()
  const socket = await openSocket(origin, '/chat')
  for (const [message, answer] of [['one', 'kept'], ['one', 'failed'], ['two', 'kept']] as const) {
    socket.send(message)
    t.equal(await socket.next(), answer)
    await assertClean()
  }
  t.same(await labels(), ['one', 'two'])
  t.match(logs.filter(({ level }) => level >= 50), [{ err: { type: 'UniqueConstraintViolationException' } }])
  socket.leave()
})

onEachDatabase('a message without db.run() writes nothing, and is told so', automatic, async (t, { app, labels, listen, assertClean }) => {
  await app.register(websocket)
  app.get('/', { websocket: true }, async (socket, request) => {
    await db.session.insert(Item, { label: 'connected' })
    const tell = (error: unknown) => socket.send((error as { code: string }).code)
    socket.on('message', () => {
      const written = async () => await db.session.insert(Item, { label: 'by nobody' })
      const late = async () => await request.db.insert(Item, { label: 'late' })
      void written().catch(tell).then(late).catch(tell)
    })
  })
  const { origin } = await listen()
  const socket = await openSocket(origin, '/')
  await assertClean()
  socket.send('write')
  t.equal(await socket.next(), 'FST_SCOPED_DB_NO_SCOPE')
  t.equal(await socket.next(), 'FST_SCOPED_DB_SCOPE_CLOSED')
  t.same(await labels(), ['connected'])
  socket.leave()
})

onEachDatabase('routes with a socket take the options of this plugin', automatic, async (t, { app, listen }) => {
  await app.register(websocket)
  app.get('/', { websocket: true, config: { db: { readOnly: true } } }, async socket => {
    await db.session.insert(Item, { label: 'refused' }).catch((error: { code: string }) => socket.send(error.code))
  })
  const { origin } = await listen()
  const socket = await openSocket(origin, '/')
  t.equal(await socket.next(), 'FST_SCOPED_DB_READ_ONLY')
  socket.leave()
})

onEachDatabase('a route with a handler for each', automatic, async (t, { app, labels, listen, assertClean }) => {
  await app.register(websocket)
  app.route({
    method: 'GET',
    url: '/',
    handler: async request => await request.db.insert(Item, { label: 'by HTTP' }),
    wsHandler: async (socket, request) => {
      socket.on('message', () => {
        const late = async () => await request.db.insert(Item, { label: 'late' })
        late().catch((error: { code: string }) => socket.send(error.code))
      })
    }
  })
  const { origin } = await listen()
  t.equal((await fetch(origin)).status, 200)
  const socket = await openSocket(origin, '/')
  socket.send('late')
  t.equal(await socket.next(), 'FST_SCOPED_DB_SCOPE_CLOSED')
  await assertClean()
  t.same(await labels(), ['by HTTP'])
  socket.leave()
})

onEachDatabase('clients that leave while their message is worked on leave nothing behind', automatic, async (t, { app, labels, listen, assertClean }) => {
  await app.register(websocket)
  app.get('/', { websocket: true }, socket => {
    socket.on('message', () => {
      void db.run(async session => {
        await session.insert(Item, { label: 'worked on' })
        socket.send('under way')
        await new Promise(resolve => socket.once('close', resolve))
      })
    })
  })
  const { origin } = await listen()
  const socket = await openSocket(origin, '/')
  socket.send('work')
  t.equal(await socket.next(), 'under way')
  socket.leave()
  await assertClean()
  t.same(await labels(), ['worked on'])
})

onEachDatabase('registered before this plugin, nobody sees how its handlers end: where the client leaves first, they are rolled back', {}, async (t, { orm, labels, logs }) => {
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { logs.push(JSON.parse(line) as never) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(websocket)
  await app.register(scopedDb, { orm, name: 'late', commitOnTeardown: true })
  app.get('/', { websocket: true }, async (socket, request) => {
    await request.db.insert(Item, { label: 'connected' })
    socket.send('hello')
  })
  const socket = await openSocket(await app.listen({ port: 0, host: '127.0.0.1' }), '/')
  t.equal(await socket.next(), 'hello')
  socket.leave()
  while (app.db.openScopes > 0) await sleep(5)
  t.same(await labels(), [])
  t.match(logs, [{ level: 40, outcome: 'rollback', reason: 'nobody waits for the reply any more' }])
})
