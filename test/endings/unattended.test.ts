/** A unit of work ends when its reply would have been sent, whoever has left meanwhile. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { postAndLeave } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'
import { onEachTransport } from '../support/transports.ts'

const automatic = { plugin: { commitOnTeardown: true } }

type Route = (request: FastifyRequest, reply: FastifyReply, gone: Promise<unknown>) => unknown

const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })

/** Goes on where nobody waits, and answers there. */
function later (reply: FastifyReply, gone: Promise<unknown>, work: () => Promise<unknown>): void {
  void gone.then(async () => {
    await sleep(20)
    try {
      await work()
      reply.send('ok')
    } catch (error) {
      reply.send(error)
    }
  })
}

/** Handlers that write before the client leaves and after it has. */
const HANDLERS: Record<string, Route> = {
  'that is an async function': async (_request, _reply, gone) => {
    await insert('before')
    await gone
    await insert('after')
    return 'ok'
  },
  'that returns nothing': async (_request, _reply, gone) => {
    await insert('before')
    await gone
    await sleep(20)
    await insert('after')
  },
  'that returns its reply': async (_request, reply, gone) => {
    await insert('before')
    later(reply, gone, async () => await insert('after'))
    return reply
  },
  'that returns its reply at once': (_request, reply, gone) => {
    void insert('before').then(() => { later(reply, gone, async () => await insert('after')) })
    return reply
  },
  'that waits for its reply': async (_request, reply, gone) => {
    await insert('before')
    later(reply, gone, async () => await insert('after'))
    await reply
    await insert('too late').catch(() => undefined)
  },
  'with callbacks': (_request, reply, gone) => {
    void insert('before').then(() => { later(reply, gone, async () => await insert('after')) })
  },
  'that returns a thenable of its own, which starts anew each time it is asked': (_request, _reply, gone) => ({
    then (resolve: (value: unknown) => void, reject: (error: unknown) => void) {
      insert('before').then(async () => await gone).then(async () => await insert('after')).then(() => 'ok').then(resolve, reject)
    }
  })
}

for (const [which, handler] of Object.entries(HANDLERS)) {
  onEachTransport(`client gone, a handler ${which}`, automatic, async (t, { app, labels, transport, assertClean }) => {
    const arrived = new Gate()
    const gone = new Gate()
    app.addHook('onSend', async request => {
      await sleep(20)
      await request.db.insert(Item, { label: 'onSend', amount: 0 })
    })
    app.post('/', (request, reply) => {
      reply.raw.once('close', () => gone.open())
      return handler(request, reply, gone.opened)
    })
    app.addHook('preHandler', async () => { setTimeout(() => arrived.open(), 50) })
    await transport.leave('POST', '/', arrived.opened)
    await assertClean()
    // Fastify sends nothing then, unless its socket is still there.
    const isSilent = which === 'that returns nothing' && transport.name !== 'inject'
    t.same(await labels(), isSilent ? ['after', 'before'] : ['after', 'before', 'onSend'])
  })
}

/** What hooks do once the client has gone. */
const HOOKS: Record<string, (reply: FastifyReply) => unknown> = {
  throws: () => { throw Object.assign(new Error('no'), { statusCode: 401 }) },
  'rejects with nothing': async () => {
    const { promise, reject } = Promise.withResolvers<void>()
    reject()
    await promise
  },
  answers: async reply => await reply.code(401).send('no'),
  'sends an error': async reply => await reply.send(new Error('no'))
}

for (const [name, method] of Object.entries({ onRequest: 'GET', preParsing: 'POST', preValidation: 'HEAD', preHandler: 'OPTIONS' })) {
  onEachTransport(`client gone while a hook runs, which then ends the request: ${name} of ${method}`, automatic, async (t, { app, labels, transport, assertClean }) => {
    let handled = 0
    const arrivals: Gate[] = []
    app.addHook('onSend', async () => { await sleep(10) })
    for (const [n, end] of Object.values(HOOKS).entries()) {
      app.route({
        method,
        url: `/${n}`,
        exposeHeadRoute: false,
        [name]: async (request: FastifyRequest, reply: FastifyReply) => {
          if (n % 2 === 0) await request.db.count(Item)
          else await request.db.insert(Item, { label: `${n}`, amount: 0 })
          const { raw } = reply
          // For a HEAD of HTTP/2 only its stream says so.
          const gone = new Promise(resolve => { ('stream' in raw ? raw.stream as typeof raw : raw).once('close', resolve) })
          arrivals[n]?.open()
          await gone
          await sleep(10)
          await end(reply)
        },
        handler: async () => { handled++ }
      })
    }
    for (const n of Object.keys(HOOKS).keys()) {
      arrivals[n] = new Gate()
      await transport.leave(method, `/${n}`, arrivals[n].opened)
    }
    await assertClean()
    t.same(await labels(), [])
    t.equal(handled, 0, 'no hook that has answered lets anybody pass')
  })
}

onEachTransport('client gone while a hook runs that takes the reply over', automatic, async (t, { app, labels, transport, assertClean }) => {
  const arrived = new Gate()
  app.addHook('preHandler', async (request, reply) => {
    await request.db.insert(Item, { label: 'hook', amount: 0 })
    const gone = new Promise(resolve => { reply.raw.once('close', resolve) })
    arrived.open()
    await gone
    reply.hijack()
  })
  app.post('/', async () => { t.fail('not to be called') })
  await transport.leave('POST', '/', arrived.opened)
  await assertClean()
  t.same(await labels(), [])
})

for (const [how, answer] of Object.entries<(reply: FastifyReply) => unknown>({
  'returns nothing': reply => { reply.code(400) },
  answers: async reply => await reply.code(400).send('no'),
  fails: () => { throw new Error('of its own') }
})) {
  onEachTransport(`client gone, an error handler that takes its time and ${how}`, automatic, async (t, { app, labels, transport, assertClean }) => {
    const arrived = new Gate()
    let seen: unknown
    app.setErrorHandler(async (_error, request, reply) => {
      await sleep(100)
      seen = await request.db.count(Item)
      await answer(reply)
    })
    app.post('/', async (_request, reply) => {
      await insert('thrown')
      const gone = new Promise(resolve => { reply.raw.once('close', resolve) })
      arrived.open()
      await gone
      throw new Error('thrown')
    })
    await transport.leave('POST', '/', arrived.opened)
    await assertClean()
    t.equal(seen, 1, 'it has had the session')
    t.same(await labels(), [])
  })
}

onEachTransport('client gone, a not-found handler that returns nothing', automatic, async (t, { app, labels, transport, assertClean }) => {
  const arrived = new Gate()
  app.setNotFoundHandler(async (_request, reply) => {
    await insert('not found')
    const gone = new Promise(resolve => { reply.raw.once('close', resolve) })
    arrived.open()
    await gone
  })
  await transport.leave('POST', '/nowhere', arrived.opened)
  await assertClean()
  t.same(await labels(), ['not found'])
})

/** What nobody can see the end of. */
const LOST: Record<string, Route> = {
  'returns its reply': (_request, reply) => reply,
  'uses callbacks': () => undefined
}

for (const [which, handler] of Object.entries(LOST)) {
  onEachTransport(`client gone, a handler that ${which}, and never answers`, automatic, async (t, { app, labels, transport, assertClean }) => {
    const arrived = new Gate()
    app.post('/', (request, reply) => {
      void insert('lost').then(() => arrived.open())
      return handler(request, reply, Promise.resolve())
    })
    await transport.leave('POST', '/', arrived.opened)
    await assertClean()
    t.same(await labels(), [])
  })
}

onEachTransport('client gone, and the stream that is the reply is silent for ever', automatic, async (t, { app, labels, transport, assertClean }) => {
  let arrived = new Gate()
  app.post('/:when', async (request, reply) => {
    await insert((request.params as { when: string }).when)
    const gone = new Promise(resolve => { reply.raw.once('close', resolve) })
    const stream = new Readable({ read () { arrived.open() } })
    if (request.url === '/before') {
      arrived.open()
      await gone
    }
    return await reply.send(stream)
  })
  for (const when of ['during', 'before']) {
    arrived = new Gate()
    await transport.leave('POST', `/${when}`, arrived.opened)
    await assertClean()
  }
  t.same(await labels(), ['before', 'during'])
})

onEachDatabase('client gone, a handler with callbacks whose statement takes longer than an end that nobody can see', { ...automatic, kinds: servers }, async (t, { app, labels, listen, assertClean, dialect }) => {
  const arrived = new Gate()
  app.post('/', (request, reply) => {
    const slept = insert('slow').then(async () => await request.db.execute(`select ${dialect.sleep(2.5)}`))
    arrived.open()
    slept.then(async () => await insert('slow too')).then(() => reply.send('ok'), (error: unknown) => reply.send(error))
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await assertClean()
  t.same(await labels(), ['slow', 'slow too'])
})

onEachTransport('client gone, a reply that is waited for by somebody who does not mind how it fails', automatic, async (t, { app, labels, transport, assertClean }) => {
  const arrived = new Gate()
  const over = new Gate<string>()
  app.post('/', (_request, reply) => {
    void insert('then').then(() => {
      void (reply as unknown as { then: (fulfilled: () => void) => unknown }).then(() => { over.open('over') })
      later(reply, new Promise(resolve => { reply.raw.once('close', resolve) }), async () => await insert('and more'))
      arrived.open()
    })
  })
  await transport.leave('POST', '/', arrived.opened)
  // A request that is injected fails when it is aborted, and Fastify has nobody to tell.
  if (transport.name !== 'inject') t.equal(await over.opened, 'over')
  await assertClean()
  t.same(await labels(), ['and more', 'then'])
})

onEachTransport('client gone before there was a session, on a route with cancelOnAbort', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, labels, transport, assertClean }) => {
  const arrived = new Gate()
  const late = new Gate<unknown>()
  app.post('/', async (request, reply) => {
    setTimeout(() => arrived.open(), 10)
    reply.raw.once('close', () => { setTimeout(() => { request.db.insert(Item, { label: 'late', amount: 0 }).then(id => late.open(id), (error: unknown) => late.open(error)) }, 20) })
    return reply
  })
  await transport.leave('POST', '/', arrived.opened)
  t.match(await late.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await assertClean()
  t.same(await labels(), [])
})

onEachTransport('of hundreds of clients that leave nothing is left', automatic, async (t, { app, transport, assertClean }) => {
  let arrived = new Gate()
  app.addHook('preHandler', async request => {
    await request.db.count(Item)
    arrived.open()
    await sleep(1)
    throw Object.assign(new Error('no'), { statusCode: 401 })
  })
  app.get('/', async () => 'never')
  for (let n = 0; n < 100; n++) {
    arrived = new Gate()
    await transport.leave('GET', '/', arrived.opened)
  }
  await assertClean()
  t.equal(app.db.openScopes, 0)
})

onEachTransport('what was streamed into a reply whose commit has failed is let go of', automatic, async (t, { app, transport, assertClean }) => {
  const streams: { destroyed: boolean }[] = []
  const canceled: string[] = []
  app.post('/taken', async () => { await insert('taken') })
  app.post('/:kind', async (request, reply) => {
    request.db.create(Item, { label: 'taken' })
    const { kind } = request.params as { kind: string }
    const file = createReadStream(process.execPath)
    streams.push(file)
    if (kind === 'file') return reply.send(file)
    file.destroy()
    const body = new ReadableStream({ pull (controller) { controller.enqueue(new Uint8Array(10)) }, cancel () { canceled.push(kind) } })
    return reply.send(kind === 'web' ? body : new Response(body, { status: 201 }))
  })
  await transport.request('POST', '/taken')
  for (const kind of ['file', 'web', 'response']) t.equal((await transport.request('POST', `/${kind}`)).status, 500, kind)
  await sleep(20)
  t.same(streams.filter(({ destroyed }) => !destroyed), [])
  t.same(canceled, ['web', 'response'])
  await assertClean()
})
