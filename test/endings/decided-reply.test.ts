/** The head that goes out is the one that was decided on, and what cannot be sent is found before the commit. */
import type { FastifyReply } from 'fastify'
import { EventEmitter } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachTransport } from '../support/transports.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })

/** What code beside a reply does to it. */
const CHANGES: Record<string, (reply: FastifyReply) => unknown> = {
  'a status': reply => reply.code(500),
  headers: reply => reply.header('x-kept', 'no').header('x-late', 'yes').removeHeader('content-type'),
  'a second reply': reply => reply.code(503).header('x-late', 'yes').send('too slow'),
  'an error': reply => reply.send(new Error('too slow')),
  'a status by hand': reply => { Object.assign(reply.raw, { statusCode: 503 }) },
  'headers by hand': reply => { reply.raw.setHeader('x-late', 'yes') },
  'a reply by hand': reply => { (reply.raw as Writable & typeof reply.raw).writeHead(503, { 'x-late': 'yes' }).end('too slow') },
  'a body by hand': reply => {
    reply.raw.write('too ')
    reply.raw.end('slow')
  },
  'a head by hand': reply => { reply.raw.flushHeaders?.() },
  'reply.hijack()': reply => {
    reply.hijack()
    reply.raw.end('mine')
  },
  trailers: reply => reply.trailer('x-late', async () => 'yes')
}

for (const [what, change] of Object.entries(CHANGES)) {
  onEachTransport(`while the outcome is carried out, it changes nothing: ${what}`, automatic, async (t, { app, orm, labels, transport, assertClean }) => {
    let current: FastifyReply | undefined
    const act = async () => {
      if (current !== undefined) change(current)
      current = undefined
      await sleep(20)
    }
    orm.em.getEventManager().registerSubscriber({ beforeTransactionCommit: act, beforeTransactionRollback: act })
    app.post('/:code', async (request, reply) => {
      const { code } = request.params as { code: string }
      await insert(code)
      current = reply
      return await reply.code(Number(code)).header('x-kept', 'yes').send(`as ${code}`)
    })
    for (const code of [201, 409]) {
      const { status, headers, body } = await transport.request('POST', `/${code}`)
      t.same([status, headers['x-kept'], headers['x-late'], headers['trailer'], body], [code, 'yes', undefined, undefined, `as ${code}`])
      t.match(headers['content-type'], 'text/plain')
    }
    await assertClean()
    t.same(await labels(), ['201'])
  })
}

onEachTransport('what falls through after a reply changes nothing, or nothing is committed', automatic, async (t, { app, labels, transport, assertClean }) => {
  // A head of 200 that is followed by nothing is no answer.
  const { 'a head by hand': _, ...changes } = CHANGES
  for (const [n, change] of Object.values(changes).entries()) {
    app.post(`/text/${n}`, async (_request, reply) => {
      await insert(`text ${n}`)
      reply.send('ok')
      change(reply)
    })
    app.post(`/json/${n}`, async (request, reply) => {
      request.db.create(Item, { label: `json ${n}` })
      reply.send({ fine: true })
      change(reply)
    })
  }
  for (const path of Object.keys(changes).flatMap((_, n) => [`text/${n}`, `json/${n}`])) {
    const { status = 500 } = await transport.request('POST', `/${path}`)
    // What is written by hand may go out first.
    await assertClean()
    t.equal((await labels()).includes(path.replace('/', ' ')), status < 400, `${path}: ${status}`)
  }
  await assertClean()
})

onEachTransport('what a plugin has put around the methods of the raw reply stays there', automatic, async (t, { app, labels, transport, assertClean }) => {
  const ends: string[] = []
  app.addHook('onRequest', async (request, { raw }) => {
    const end = raw.end as (...args: unknown[]) => never
    raw.end = function (...args: unknown[]) {
      ends.push(request.url)
      return end.apply(this, args)
    }
  })
  app.post('/', async (_request, reply) => {
    await insert('patched')
    return await reply.code(201).send('ok')
  })
  t.match(await transport.request('POST', '/'), { status: 201, body: 'ok' })
  await assertClean()
  t.same([ends, await labels()], [['/'], ['patched']])
})

onEachTransport('a commit that fails with nothing at all is a failure', automatic, async (t, { app, orm, labels, transport, assertClean }) => {
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionCommit () {
      const { promise, reject } = Promise.withResolvers<void>()
      reject()
      await promise
    }
  })
  app.post('/', async () => {
    await insert('lost')
    return 'ok'
  })
  t.equal((await transport.request('POST', '/')).status, 500)
  await assertClean()
  t.same(await labels(), [])
})

onEachTransport('a flush or a commit that fails is a failure, also for an error handler that leaves the status alone', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.setErrorHandler(async (error: Error, _request, reply) => await reply.send(error.message))
  const failing = async () => { throw new Error('not worth it') }
  const configs = { once: {}, again: { db: { retry: { attempts: 2, when: () => { throw new Error('asked in vain') } } } } }
  for (const [how, config] of Object.entries(configs)) {
    app.post(`/flush/${how}`, { config }, async (request, reply) => {
      for (const label of ['same', 'same']) request.db.create(Item, { label })
      return await reply.code(201).send({ fine: true })
    })
    app.post(`/commit/${how}`, { config }, async (request, reply) => {
      for (const label of ['same', 'same']) request.db.create(Item, { label })
      return await reply.code(201).send('fine')
    })
    app.post(`/callback/${how}`, { config }, (_request, reply) => {
      insert('lost').then(failing).catch((error: unknown) => reply.code(500).send(error))
    })
  }
  for (const how of Object.keys(configs)) {
    for (const what of ['flush', 'commit', 'callback']) {
      const { status, body } = await transport.request('POST', `/${what}/${how}`)
      t.equal(status, 500, `${what} ${how}`)
      t.match(body, how === 'again' ? 'asked in vain' : what === 'callback' ? 'not worth it' : /duplicate|unique/i, `${what} ${how}`)
    }
  }
  await assertClean()
  t.same(await labels(), [])
})

onEachTransport('a handler or a hook that fails with nothing at all has failed, whatever its error handler answers', automatic, async (t, { app, labels, transport, assertClean }) => {
  const errors: unknown[] = []
  const rule = (_request: unknown, _reply: unknown, error: unknown) => {
    errors.push(error)
    return error === undefined
  }
  app.setErrorHandler(async (_error, _request, reply) => await reply.code(200).send('fine'))
  const fail = async (reason?: unknown) => {
    await insert('lost')
    const { promise, reject } = Promise.withResolvers<void>()
    reject(reason)
    await promise
  }
  app.post('/handler', async () => { await fail() })
  app.post('/hook', { preHandler: async () => { await fail() } }, async () => 'never')
  app.post('/null', async () => { await fail(null) })
  app.post('/rule', { config: { db: { commitOnTeardown: rule } } }, async () => { await fail() })
  for (const path of ['/handler', '/hook', '/null', '/rule']) {
    t.match(await transport.request('POST', path), { status: 200, body: 'fine' }, path)
    await assertClean()
  }
  t.same(await labels(), [])
  t.match(errors, [{ code: 'FST_ERR_SEND_UNDEFINED_ERR' }])
})

/** As the packages of Node 0.8 had them. */
class OldStream extends EventEmitter {
  readable = true
  closed = false

  constructor (...events: [event: string, value?: unknown][]) {
    super()
    setTimeout(() => { for (const [event, value] of events) this.emit(event, value) }, 5)
  }

  pipe (to: Writable): Writable {
    this.on('data', chunk => to.write(chunk))
    this.on('end', () => to.end())
    return to
  }

  close (): void {
    this.closed = true
  }
}

const failing = () => new ReadableStream({ async pull () { await sleep(5); throw new Error('cannot read') } })

/** Replies that Fastify or Node refuse. */
const REFUSED: Record<string, (reply: FastifyReply) => unknown> = {
  'a header with undefined in its list': reply => reply.header('x-bad', ['a', undefined]).send('ok'),
  'a header that is a symbol': reply => reply.header('x-bad', Symbol('x')).send('ok'),
  'a header with a line break': reply => reply.header('x-bad', 'a\nb').send('ok'),
  'a header that fails': reply => reply.header('x-bad', { toString () { throw new Error('no text') } }).send('ok'),
  'a header without a name': reply => reply.header('', 'a').send('ok'),
  'a payload that is an object': reply => reply.serializer(payload => payload as string).send({ not: 'text' }),
  'a stream without on()': reply => reply.send({ pipe () {} }),
  'a stream that can only be written to': reply => reply.send(new Writable({ write () {} })),
  'a stream that is destroyed': reply => reply.send(new Readable({ read () {} }).destroy()),
  'a stream that was destroyed with something in it': reply => {
    const stream = new Readable({ read () {} })
    stream.push('half')
    return reply.send(stream.destroy())
  },
  'an event stream that is destroyed': reply => reply.type('text/event-stream').send(new Readable({ read () {} }).destroy()),
  'a stream that is destroyed soon': reply => {
    const stream = new Readable({ read () {} })
    setTimeout(() => stream.destroy(), 5)
    return reply.send(stream)
  },
  'a stream that has failed': reply => reply.send(new Readable({ read () {} }).on('error', () => {}).destroy(new Error('cannot read'))),
  'an old stream that fails': reply => reply.send(new OldStream(['error', new Error('cannot read')])),
  'an old stream that was destroyed': reply => reply.send(Object.assign(new OldStream(), { readable: false, destroyed: true })),
  'an old stream that closes early': reply => reply.send(new OldStream(['close'])),
  'a web stream that fails': reply => reply.send(failing()),
  'a web stream that is locked': reply => {
    const stream = failing()
    stream.getReader()
    return reply.send(stream)
  },
  'a Response that fails': reply => reply.send(new Response(failing())),
  'a Response that is an error': reply => reply.send(Response.error()),
  'a Response that was read': async reply => {
    const response = new Response('read')
    await response.text()
    return reply.send(response)
  },
  'a Response that is locked': reply => {
    const response = new Response('locked')
    response.body?.getReader()
    return reply.send(response)
  }
}

const REFUSED_BY_HTTP1: typeof REFUSED = {
  'a number beside a length, where Node writes text': reply => reply.header('content-length', 2).header('content-disposition', 5).send('ok'),
  'trailers that are announced beside a length': reply => reply.header('trailer', 'x-late').send('ok'),
  'trailers that are announced behind nothing': reply => reply.header('trailer', 'x-late').send(),
  'a status message that HTTP does not know': reply => {
    reply.raw.statusMessage = '€'
    return reply.send('ok')
  },
  'a status that HTTP does not know': reply => {
    Object.assign(reply.raw, { statusCode: 99 })
    return reply.send('ok')
  }
}

const REFUSED_BY_HTTP2: typeof REFUSED = {
  ...Object.fromEntries(['transfer-encoding', 'keep-alive', 'upgrade', 'te', 'proxy-connection', 'http2-settings'].map(name => (
    [`a header of connections: ${name}`, reply => reply.header(name, 'chunked').send('ok')] satisfies [string, (typeof REFUSED)[string]]
  ))),
  'a header of connections, in other letters': reply => reply.header('Keep-Alive', 'timeout=5').send('ok'),
  'a header that is null': reply => reply.header('x-bad', null).send('ok'),
  'a header that is single, and is not': reply => reply.header('etag', ['a', 'b']).send('ok')
}

onEachTransport('a reply that cannot be sent is not committed', automatic, async (t, { app, labels, transport, assertClean }) => {
  const refused = Object.entries({ ...REFUSED, ...transport.name === 'HTTP/2' ? REFUSED_BY_HTTP2 : REFUSED_BY_HTTP1 })
  const heads: unknown[] = []
  app.setErrorHandler(async (_error, _request, reply) => {
    for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
    heads.push(reply.statusCode)
    return await reply.send('no')
  })
  for (const [n, [, send]] of refused.entries()) {
    app.post(`/${n}`, async (_request, reply) => {
      await insert(`${n}`)
      return await send(reply)
    })
  }
  for (const [n, [what]] of refused.entries()) {
    t.match(await transport.request('POST', `/${n}`), { status: 500, body: 'no' }, what)
  }
  await assertClean()
  t.same(await labels(), [])
  t.same(heads, refused.map(() => 500), 'an error handler need not set the status')
})

onEachTransport('a reply of an error that cannot be sent is another error', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.setErrorHandler(async (_error, _request, reply) => await reply.code(500).send('no'))
  app.post('/:use', async (request, reply) => {
    if (request.url === '/writes') await insert('lost')
    else await request.db.count(Item)
    return await reply.code(409).serializer(payload => payload as string).send({ not: 'text' })
  })
  for (const use of ['writes', 'reads']) t.match(await transport.request('POST', `/${use}`), { status: 500, body: 'no' }, use)
  await assertClean()
  t.same(await labels(), [])
})

onEachTransport('a head that was written by hand, and a reply behind it that cannot be sent', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.post('/', async (_request, reply) => {
    await insert('by hand')
    ;(reply.raw as Writable & typeof reply.raw).writeHead(200)
    reply.raw.write('begun')
    return await reply.send('too late')
  })
  await transport.request('POST', '/')
  await assertClean()
  t.same(await labels(), [])
})

/** Replies of every kind that can be sent. */
const SENT: Record<string, (reply: FastifyReply) => unknown> = {
  text: reply => reply.header('x-number', 7).send('text'),
  'an old stream': reply => reply.send(new OldStream(['data', 'te'], ['data', 'xt'], ['end'], ['close'])),
  'an old stream that has ended': async reply => {
    reply.raw.setHeader('x-body', 'none')
    return await reply.send(Object.assign(new OldStream(), { readable: false }))
  },
  'a Node stream': reply => reply.send(Readable.from(['te', 'xt'])),
  'trailers that are announced before a stream': reply => reply.header('trailer', 'x-late').send(Readable.from(['te', 'xt'])),
  'a header of trailers that are accepted': reply => reply.header('te', 'trailers').send('text'),
  'a web stream': reply => reply.send(new Blob(['text']).stream()),
  'a web stream of text': reply => reply.send(ReadableStream.from(['te', 'xt'])),
  'a Response': reply => reply.code(500).send(new Response('text', { status: 200, headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-of', 'response']] }))
}

onEachTransport('what can be sent is committed and sent', automatic, async (t, { app, labels, transport, assertClean }) => {
  for (const [n, [, send]] of Object.entries(SENT).entries()) {
    app.post(`/${n}`, async (_request, reply) => {
      await insert(`${n}`)
      return await send(reply)
    })
  }
  app.post('/empty', async (_request, reply) => {
    await insert('empty')
    return await reply.send(new Response(null, { status: 204, headers: { 'x-of': 'response' } }))
  })
  for (const [n, [what]] of Object.entries(SENT).entries()) {
    const answer = await transport.request('POST', `/${n}`)
    t.match(answer, { status: 200, body: 'x-body' in answer.headers ? /^$/ : 'text' }, what)
  }
  t.match(await transport.request('POST', '/empty'), { status: 204, body: '', headers: { 'x-of': 'response' } })
  await assertClean()
  t.same(await labels(), [...Object.keys(SENT).keys(), 'empty'].map(String))
})

onEachTransport('what a Response has put on a reply goes with its commit', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.post('/', async request => {
    for (const label of ['same', 'same']) request.db.create(Item, { label })
    return new Response('done', { status: 201, headers: { 'x-of': 'response' } })
  })
  const { status, headers } = await transport.request('POST', '/')
  t.same([status, headers['x-of']], [500, undefined])
  await assertClean()
  t.same(await labels(), [])
})
