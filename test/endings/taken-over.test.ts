/** Replies that Fastify has nothing to do with any more: the unit of work ends with the handler, however long the connection lives. */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'
import { onEachTransport } from '../support/transports.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })

/** What a handler does that takes its reply over for long. */
const LONG: Record<string, (reply: FastifyReply) => unknown> = {
  'as fastify-sse-v2 does': reply => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: 1\n\n')
  },
  'as @fastify/sse does': reply => {
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: 1\n\n')
  },
  'with the reply returned': reply => {
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: 1\n\n')
    return reply
  },
  'before it has written': reply => {
    reply.hijack()
    setTimeout(() => reply.raw.write('data: 1\n\n'), 100)
  }
}

for (const [how, take] of Object.entries(LONG)) {
  for (const isAsync of [true, false]) {
    onEachDatabase(`a reply that is taken over for long, by ${isAsync ? 'an async function' : 'a handler with callbacks'}: ${how}`, automatic, async (t, { app, labels, listen, assertClean, logs }) => {
      app.post('/', isAsync
        ? async (_request, reply) => {
          const taken = take(reply)
          await insert('taken over')
          await sleep(20)
          await insert('and more')
          return taken
        }
        : (_request, reply) => {
            const taken = take(reply)
            void insert('taken over').then(async () => await insert('and more'))
            return taken
          })
      const { port } = await listen()
      const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
      await client.until('data: 1')
      await assertClean()
      t.same(await labels(), ['and more', 'taken over'])
      t.equal(client.socket.destroyed, false, 'the connection is still there')
      client.leave()
      await assertClean()
      t.same(logs.filter(({ level }) => level >= 40), [])
    })
  }
}

/** How a handler ends that has taken its reply over, and written. */
const FAILED: Record<string, [reason: string | undefined, (reply: FastifyReply) => unknown]> = {
  'it throws': ['an error was thrown or sent', () => { throw new Error('after hijack') }],
  'it has written a 500': [undefined, reply => { reply.raw.writeHead(500).end('failed') }],
  'its scope is doomed': ['doomed', reply => {
    db.setRollbackOnly()
    reply.raw.end('done')
  }]
}

for (const [how, [reason, fail]] of Object.entries(FAILED)) {
  onEachDatabase(`a reply that was taken over is rolled back, with a word in the log unless it says so itself: ${how}`, automatic, async (t, { app, labels, listen, assertClean, logs }) => {
    const arrived = new Gate()
    app.post('/', async (_request, reply) => {
      await insert('taken over')
      arrived.open()
      reply.hijack()
      await fail(reply)
    })
    const { port } = await listen()
    const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
    await arrived.opened
    await assertClean()
    client.leave()
    const lines = logs.filter(({ outcome }) => outcome !== undefined)
    t.equal(lines.length, reason === undefined ? 0 : 1)
    t.match(lines, reason === undefined ? [] : [{ level: 40, outcome: 'rollback', reason }])
    t.same(await labels(), [])
  })
}

onEachDatabase('a handler with callbacks has taken its reply over, and its client leaves', automatic, async (t, { app, labels, listen, assertClean, logs }) => {
  app.post('/', (_request, reply) => {
    reply.hijack()
    void insert('left').then(() => { reply.raw.write('begun') })
  })
  const { port } = await listen()
  const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  await client.until('begun')
  client.leave()
  await assertClean()
  const lines = logs.filter(({ level }) => level === 40)
  t.equal(lines.length, 1)
  t.match(lines, [{ outcome: 'rollback', reason: 'nobody waits for the reply any more' }])
  t.same(await labels(), [])
})

/** As `@fastify/websocket` calls handlers: behind `reply.hijack()`, with the socket first. */
type SocketHandler = (socket: object, request: FastifyRequest) => unknown

const SOCKETS: Record<string, [labels: string[], handler: SocketHandler]> = {
  async: [['connected', 'twice'], async () => {
    await insert('connected')
    await sleep(20)
    await insert('twice')
  }],
  sync: [['connected'], () => { void insert('connected') }],
  'that rejects': [[], async () => {
    await insert('connected')
    throw new Error('in the handler')
  }],
  'that throws': [[], () => {
    void insert('connected').catch(() => undefined)
    throw new Error('in the handler')
  }],
  'that throws before it has a session': [[], () => { throw new Error('in the handler') }]
}

for (const [which, [expected, handler]] of Object.entries(SOCKETS)) {
  onEachDatabase(`a handler of WebSockets, ${which}`, automatic, async (t, { app, labels, listen, assertClean }) => {
    app.addHook('onRoute', route => {
      const { handler } = route
      route.handler = function (request, reply) {
        reply.hijack()
        request.raw.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
        const socketHandler = handler.bind(this) as unknown as SocketHandler
        try {
          const result = socketHandler({}, request) as Promise<unknown> | undefined
          result?.catch(() => undefined)
        } catch {}
      }
    })
    app.get('/', { preHandler: async request => { if (expected.length > 0) await request.db.count(Item) } }, handler as never)
    const { port } = await listen()
    const client = await rawClient(port, ['GET / HTTP/1.1', 'Host: localhost', 'Connection: upgrade', 'Upgrade: x', '', ''])
    await client.until('101')
    await assertClean()
    t.same(await labels(), expected)
    t.equal(client.socket.destroyed, false)
    client.leave()
  })
}

onEachDatabase('the end of a handler of WebSockets is that of the unit of work, also beside a handler of its own for HTTP', automatic, async (t, { app, labels, listen }) => {
  const ended = new Gate()
  const told = new Gate<unknown>()
  app.addHook('onRoute', route => {
    const { wsHandler } = route as { wsHandler?: SocketHandler }
    route.handler = function (request, reply) {
      reply.hijack()
      request.raw.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
      wsHandler?.call(this, {}, request)
    }
  })
  const wsHandler: SocketHandler = (_socket, request) => {
    const late = async () => await request.db.insert(Item, { label: 'late', amount: 0 })
    void ended.opened.then(late).then(told.open.bind(told), told.open.bind(told))
  }
  app.route({ method: 'GET', url: '/', handler: async () => 'HTTP', wsHandler } as RouteOptions)
  const { port } = await listen()
  const client = await rawClient(port, ['GET / HTTP/1.1', 'Host: localhost', 'Connection: upgrade', 'Upgrade: x', '', ''])
  await client.until('101')
  ended.open()
  t.match(await told.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  t.same(await labels(), [])
  client.leave()
})

onEachDatabase('what a handler of sockets throws is left to its caller', automatic, async (t, { app, assertClean }) => {
  const caught: unknown[] = []
  app.addHook('onRoute', route => {
    const { handler } = route
    route.handler = async function (request) {
      try {
        await (handler.bind(this) as unknown as SocketHandler)({}, request)
      } catch (error) {
        caught.push((error as Error).message)
      }
      return 'ok'
    }
  })
  app.get('/throws', (() => { throw new Error('thrown') }) as never)
  app.get('/rejects', (async () => { throw new Error('rejected') }) as never)
  app.get('/thenable', (() => ({ then (_resolve: unknown, reject: (error: Error) => void) { reject(new Error('of its own')) } })) as never)
  for (const url of ['/throws', '/rejects', '/thenable']) t.equal((await app.inject(url)).body, 'ok')
  t.same(caught, ['thrown', 'rejected', 'of its own'])
  await assertClean()
})

onEachDatabase('the handler of a route without a scope gets its socket', automatic, async (t, { app }) => {
  let got: unknown[] = []
  app.addHook('onRoute', route => {
    const { handler } = route
    route.handler = async function (request) {
      const args = request.url === '/alone' ? ['socket'] : ['socket', request]
      return await (handler as unknown as (...args: unknown[]) => unknown).apply(this, args)
    }
  })
  const routes = { '/none': false, '/one': {}, '/alone': {} } as const
  for (const [url, db] of Object.entries(routes)) app.get(url, { config: { db } }, ((...args: unknown[]) => { got = args; return 'ok' }) as never)
  for (const url of Object.keys(routes)) {
    t.equal((await app.inject(url)).body, 'ok')
    t.equal(got[0], 'socket')
    got = []
  }
})

onEachTransport('a handler that goes on after it has ended its reply by hand', automatic, async (t, { app, labels, transport, assertClean }) => {
  const hooked: unknown[] = []
  app.addHook('onResponse', async request => { hooked.push(await request.db.count(Item).catch((error: unknown) => error)) })
  app.post('/', async (_request, reply) => {
    await insert('before')
    reply.hijack()
    reply.raw.end('done')
    if (!reply.raw.writableFinished) await once(reply.raw, 'finish')
    await sleep(20)
    await insert('after')
  })
  t.match(await transport.request('POST', '/'), { status: 200, body: 'done' })
  await assertClean()
  t.equal(typeof hooked[0], 'number', 'the session is there for hooks, too')
  t.same(await labels(), ['after', 'before'])
})
