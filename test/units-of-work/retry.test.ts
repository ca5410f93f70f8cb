/** Transient errors: the unit of work is rolled back and done again, before anything reaches the client. */
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { TransactionPropagation } from '@mikro-orm/core'
import t, { type Test } from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { HandlerRetry } from '../../lib/fastify/handler-retry.ts'
import { RetriesExhaustedError } from '../../lib/errors/errors.ts'
import { Retry } from '../../lib/scope/retry.ts'
import { postAndLeave, rawClient } from '../support/clients.ts'
import { createDatabase } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
// Each session has its own subscribers, for those that fail.
const retry = { config: { db: { retry: { attempts: 3, backoff: 1 }, sessionOptions: { cloneEventManager: true } } } }

const deadlock = () => Object.assign(new Error('Deadlock found when trying to get lock'), { code: 'ER_LOCK_DEADLOCK', errno: 1213, sqlState: '40001' })

const AGAIN = 'a transient database error: rolled back, and done again'
const LAST = 'a transient database error, after the last attempt'

const post = async ({ app }: Stage, url = '/') => await app.inject({ method: 'POST', url })

/** Fails the first `times` times that it is asked. */
function failing (times: number, error: () => unknown = deadlock) {
  let asked = 0
  return {
    get asked () { return asked },
    fail () {
      asked++
      if (asked <= times) throw error()
    }
  }
}

type Handler = (request: FastifyRequest, reply: FastifyReply, fail: () => void) => unknown

/** How a handler can fail: whatever it is, the next attempt is answered as if there had been none before. */
const HANDLERS: Record<string, Handler> = {
  async 'an async handler throws' (request, _reply, fail) {
    request.db.create(Item, { label: 'a' })
    await request.db.flush()
    fail()
    return { sent: true }
  },
  'a handler throws' (request, reply, fail) {
    request.db.create(Item, { label: 'a' })
    fail()
    void reply.send({ sent: true })
  },
  'a handler sends the error' (request, reply, fail) {
    request.db.create(Item, { label: 'a' })
    request.db.flush().then(fail).then(() => reply.send({ sent: true }), error => reply.send(error))
  },
  async 'an async handler sends the error' (request, reply, fail) {
    request.db.create(Item, { label: 'a' })
    try {
      fail()
      return await reply.send({ sent: true })
    } catch (error) {
      return await reply.send(error)
    }
  },
  async 'a handler swallows the error, whose transaction is lost' (request, _reply, fail) {
    request.db.create(Item, { label: 'a' })
    let flushes = 0
    request.db.getEventManager().registerSubscriber({ async beforeFlush () { if (flushes++ === 0) fail() } })
    await request.db.flush().catch(() => {})
    return { sent: true }
  }
}

for (const [name, handler] of Object.entries(HANDLERS)) {
  onEachDatabase(`${name}: it is run again in a new scope`, automatic, async (t, stage) => {
    const { app, labels, logs } = stage
    const attempts = failing(2)
    const sessions = new Set<unknown>()
    const errors: unknown[] = []
    app.addHook('onError', async (_request, _reply, error) => { errors.push(error) })
    app.addHook('preHandler', async (_request, reply) => { reply.header('x-hook', 'kept') })
    app.post('/', retry, (request, reply) => {
      t.equal(reply.statusCode, 200)
      t.equal(reply.getHeader('x-attempt'), undefined)
      reply.code(202).header('x-attempt', attempts.asked)
      sessions.add(request.db.id)
      t.equal(db.session.id, request.db.id)
      return handler(request, reply, attempts.fail)
    })
    const response = await post(stage)
    t.match({ status: response.statusCode, headers: response.headers, body: response.json() }, { status: 202, headers: { 'x-attempt': '2', 'x-hook': 'kept' }, body: { sent: true } })
    t.same([attempts.asked, sessions.size], [3, 3])
    t.same(errors, [], 'nobody is told of an error that is mended')
    t.same(await labels(), ['a'], 'once')
    t.match(logs.filter(line => line.msg === AGAIN), [{ attempt: 1, attempts: 3, wait: Number, reqId: /./, err: { message: /Deadlock/ } }, { attempt: 2 }])
  })

  onEachDatabase(`${name} each time: 503 after the last attempt`, automatic, async (t, stage) => {
    const { app, labels, logs } = stage
    const attempts = failing(3)
    app.post('/', retry, (request, reply) => handler(request, reply, attempts.fail))
    const response = await post(stage)
    t.match({ status: response.statusCode, after: response.headers['retry-after'], body: response.json() }, { status: 503, after: '1', body: { code: 'FST_SCOPED_DB_RETRIES_EXHAUSTED' } })
    t.notMatch(response.body, /Deadlock/)
    t.equal(attempts.asked, 3)
    t.same(await labels(), [])
    t.match(logs.filter(line => line.msg === LAST), [{ attempt: 3, attempts: 3, err: { message: /Deadlock/ } }])
  })
}

onEachDatabase('its client is watched once, however often a handler is run', automatic, async (t, stage) => {
  const attempts = failing(2)
  const listeners: number[] = []
  stage.app.post('/', retry, async (request, reply) => {
    await request.db.count(Item)
    listeners.push(reply.raw.listenerCount('close'))
    attempts.fail()
    return 'text'
  })
  t.equal((await post(stage)).statusCode, 200)
  t.equal(listeners.length, 3)
  t.equal(new Set(listeners).size, 1)
})

onEachDatabase('the flush or the commit fails: the reply under way is dropped', automatic, async (t, stage) => {
  const { app, orm, labels } = stage
  let attempts = failing(0)
  orm.em.getEventManager().registerSubscriber({
    async beforeFlush () { if (place === 'flush') attempts.fail() },
    async beforeTransactionCommit () { if (place === 'commit') attempts.fail() }
  })
  let place = ''
  let suffix = ''
  let replies = 0
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.header('x-replies', ++replies)
    return payload
  })
  const bodies: Readable[] = []
  app.post<{ Params: { place: string, body: string } }>('/:place/:body', retry, async (request, reply) => {
    place = request.params.place
    request.db.create(Item, { label: `${place} ${request.params.body}${suffix}` })
    reply.code(201)
    switch (request.params.body) {
      case 'object': return { sent: true }
      case 'text': return 'text'
      case 'nothing': return undefined
      default: {
        const body = Readable.from(['str', 'eam'])
        bodies.push(body)
        return body
      }
    }
  })
  const bodiesSent = { object: '{"sent":true}', text: 'text', nothing: '', stream: 'stream' }
  for (const where of ['flush', 'commit']) {
    for (const [body, sent] of Object.entries(bodiesSent)) {
      attempts = failing(2)
      const response = await post(stage, `/${where}/${body}`)
      t.same([response.statusCode, response.body], [201, sent], `${where} ${body}`)
      attempts = failing(3)
      suffix = ' never'
      t.match((await post(stage, `/${where}/${body}`)).json(), { code: 'FST_SCOPED_DB_RETRIES_EXHAUSTED' })
      suffix = ''
    }
  }
  place = ''
  t.ok(bodies.every(body => body.destroyed), 'no stream is left')
  t.same(await labels(), ['commit nothing', 'commit object', 'commit stream', 'commit text', 'flush nothing', 'flush object', 'flush stream', 'flush text'])
})

onEachDatabase('an attempt can end in any way', automatic, async (t, stage) => {
  const { app, labels } = stage
  const ends = {
    async answered (reply: FastifyReply) { return await reply.code(409).send({ conflict: true }) },
    async failed () { throw new Error('for good') },
    // eslint-disable-next-line no-throw-literal, @typescript-eslint/only-throw-error -- whatever applications throw
    async strange () { throw 'no error' }
  }
  for (const [name, end] of Object.entries(ends)) {
    const attempts = failing(1)
    app.post(`/${name}`, retry, async (request, reply) => {
      await request.db.insert(Item, { label: 'never', amount: 0 })
      attempts.fail()
      return await end(reply)
    })
  }
  t.same((await post(stage, '/answered')).json(), { conflict: true })
  t.match((await post(stage, '/failed')).json(), { statusCode: 500, message: 'for good' })
  t.match(await post(stage, '/strange'), { statusCode: 500, body: 'no error' })
  t.same(await labels(), [])
})

onEachDatabase('an attempt after a failed commit throws what is no error', automatic, async (t, stage) => {
  const { app, orm, labels } = stage
  const attempts = failing(1)
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { attempts.fail() } })
  app.addHook('onError', async (_request, _reply, error) => { t.equal(error.cause, 'no error') })
  app.post('/', retry, async request => {
    request.db.create(Item, { label: 'never' })
    // eslint-disable-next-line no-throw-literal, @typescript-eslint/only-throw-error -- whatever applications throw
    if (attempts.asked > 0) throw 'no error'
    return 'text'
  })
  t.match((await post(stage)).json(), { statusCode: 500, message: /not an Error/ })
  t.same(await labels(), [])
})

/** How a handler can answer, each as Fastify takes it from a handler that is run once. */
const ANSWERS: Record<string, (reply: FastifyReply) => unknown> = {
  value: () => 'text',
  promise: async () => 'text',
  send: reply => { void reply.send('text') },
  later: reply => { setImmediate(() => { void reply.send('text') }) },
  async promise_of_nothing (reply) { void reply.send('text') },
  async raw (reply) {
    reply.raw.writeHead(200)
    setImmediate(() => { reply.raw.end('text') })
  },
  async hijacked (reply) {
    reply.hijack()
    setImmediate(() => { reply.raw.end('text') })
  }
}

onEachDatabase('an attempt after a failed commit answers in any way', automatic, async (t, stage) => {
  const { app, orm, labels, logs } = stage
  let attempts = failing(0)
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { attempts.fail() } })
  for (const [name, answer] of Object.entries(ANSWERS)) {
    const handler: Handler = (request, reply) => {
      if (attempts.asked > 0) return answer(reply)
      request.db.create(Item, { label: 'never' })
      return Promise.resolve('never')
    }
    app.post(`/${name}`, retry, (request, reply) => handler(request, reply, attempts.fail))
  }
  for (const name of Object.keys(ANSWERS)) {
    attempts = failing(1)
    t.match(await post(stage, `/${name}`), { statusCode: 200, body: 'text' }, name)
  }
  t.same(logs.filter(({ level, msg }) => level >= 40 && msg !== AGAIN), [], 'nothing is sent twice')
  t.same(await labels(), [])
})

onEachDatabase('what is never done again', automatic, async (t, stage) => {
  const { app, labels, kind, logs } = stage
  await stage.addDatabase('plain')
  const counts: Record<string, number> = {}
  const urls: string[] = []
  const add = (name: string, handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>) => {
    urls.push(name)
    app.post(`/${name}`, retry, async (request, reply) => {
      counts[name] = (counts[name] ?? 0) + 1
      return await handler(request, reply)
    })
  }
  add('other-error', async () => { throw new Error('for good') })
  add('unique', async request => {
    await request.db.insert(Item, { label: 'twice', amount: 0 })
    await request.db.insert(Item, { label: 'twice', amount: 0 })
  })
  add('unique-in-the-flush', async request => {
    for (const label of ['twice', 'twice']) request.db.create(Item, { label })
  })
  add('committed-by-hand', async request => {
    request.db.create(Item, { label: 'by hand' })
    await db.commit()
    throw deadlock()
  })
  add('answered', async (_request, reply) => {
    void reply.code(409).send({ conflict: true })
    throw deadlock()
  })
  add('hijacked', async (request, reply) => {
    await request.db.count(Item)
    reply.hijack()
    reply.raw.statusCode = 500
    // After the next attempt would have begun.
    setTimeout(() => { reply.raw.end('by hand') }, 50)
    throw deadlock()
  })
  add('begun', async (request, reply) => {
    await request.db.count(Item)
    reply.raw.write('begun')
    reply.raw.end()
    throw deadlock()
  })
  app.addHook('preSerialization', async (_request, _reply, payload) => {
    if (Object(payload) instanceof Map) throw new Error('not for JSON')
    return payload
  })
  app.setErrorHandler(async (_error, _request, reply) => {
    await sleep(50)
    return await reply.code(500).send('failed')
  })
  add('failed-otherwise', async (_request, reply) => {
    void reply.send(new Map())
    await sleep(10)
    throw deadlock()
  })
  if (kind === 'mysql') {
    add('alone', async request => {
      await request.db.transactional(async em => await em.insert(Item, { label: 'alone', amount: 0 }), { propagation: TransactionPropagation.REQUIRES_NEW })
      throw deadlock()
    })
  }
  urls.push('plain')
  app.post('/plain', async () => {
    counts['plain'] = (counts['plain'] ?? 0) + 1
    throw deadlock()
  })
  add('written-in-a-database-that-the-scope-does-not-commit', async () => {
    await db.use('plain').session.insert(Item, { label: 'plain', amount: 0 })
    throw deadlock()
  })
  const once = Object.fromEntries(urls.map(url => [url, 1]))
  for (const url of urls) await post(stage, `/${url}`)
  t.same(counts, once)
  t.same(logs.filter(({ msg }) => msg === AGAIN || msg === LAST), [])
  t.same(await labels(), kind === 'mysql' ? ['alone', 'by hand'] : ['by hand'])
})

onEachDatabase('a handler whose client has left is not run again', automatic, async (t, { app, listen, assertClean }) => {
  const arrived = new Gate()
  let runs = 0
  app.post('/', retry, async request => {
    runs++
    await request.db.count(Item)
    arrived.open()
    await once(request.raw.socket, 'close')
    await sleep(10)
    throw deadlock()
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await assertClean()
  t.equal(runs, 1)
})

onEachDatabase('a commit in part is never done again, whatever the handler makes of it', { ...automatic, kinds: ['sqlite'] }, async (t, stage) => {
  const { app, labels } = stage
  const second = await stage.addDatabase('second', automatic.plugin)
  await second.orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  const attempts: string[] = []
  const commitInPart = async (label: string) => {
    attempts.push(label)
    db.session.create(Item, { label })
    await db.session.flush()
    const { session } = db.use('second')
    await session.getConnection().execute('insert into child (item_id) values (4711)', [], 'run', session.getTransactionContext())
    await db.commit()
  }
  const always = { config: { db: { retry: { attempts: 3, backoff: 1, when: () => true } } } }
  app.post('/swallowed', always, async () => {
    await commitInPart('swallowed').catch(() => {})
    throw deadlock()
  })
  app.post('/wrapped', always, async () => {
    await db.run(async () => await commitInPart('wrapped')).catch((cause: unknown) => { throw new Error('wrapped', { cause }) })
  })
  for (const url of ['/swallowed', '/wrapped']) t.equal((await post(stage, url)).statusCode, 500)
  t.same(attempts, ['swallowed', 'wrapped'])
  t.same(await labels(), ['swallowed', 'wrapped'])
})

onEachDatabase('a transaction that joins does not stop the next attempt', automatic, async (t, stage) => {
  const { app, labels } = stage
  const attempts = failing(1)
  app.post('/', retry, async request => {
    await request.db.transactional(async em => { em.create(Item, { label: 'joined' }) }, { propagation: TransactionPropagation.REQUIRED })
    await request.db.transactional(async em => { em.create(Item, { label: 'nested' }) })
    attempts.fail()
    return 'text'
  })
  t.equal((await post(stage)).statusCode, 200)
  t.same(await labels(), ['joined', 'nested'])
})

onEachDatabase('a commit of nothing does not stop the next attempt', automatic, async (t, stage) => {
  const attempts = failing(1)
  stage.app.post('/', retry, async () => {
    await db.commit()
    attempts.fail()
    return 'text'
  })
  t.equal((await post(stage)).statusCode, 200)
})

onEachDatabase('a predicate widens and narrows', automatic, async (t, stage) => {
  const { app } = stage
  const asked: boolean[] = []
  const add = (url: string, when: (error: unknown, isTransient: boolean) => boolean, error: () => unknown) => {
    const attempts = failing(1, error)
    app.post(url, { config: { db: { retry: { attempts: 2, backoff: 1, when } } } }, async request => {
      await request.db.count(Item)
      attempts.fail()
      return String(attempts.asked)
    })
  }
  add('/wider', (error, isTransient) => {
    asked.push(isTransient)
    return (error as Error).message === 'try again'
  }, () => new Error('try again'))
  add('/narrower', (_error, isTransient) => {
    asked.push(isTransient)
    return false
  }, deadlock)
  add('/no-boolean', () => 'yes' as never, deadlock)
  add('/throws', () => { throw new Error('of the predicate') }, deadlock)
  t.match(await post(stage, '/wider'), { statusCode: 200, body: '2' })
  t.match((await post(stage, '/narrower')).json(), { statusCode: 500, code: 'ER_LOCK_DEADLOCK' })
  t.same(asked, [false, true])
  t.equal((await post(stage, '/no-boolean')).statusCode, 500)
  t.match((await post(stage, '/throws')).json(), { statusCode: 500, message: 'of the predicate' })
})

onEachDatabase('a predicate is asked once about each attempt', automatic, async (t, stage) => {
  const { app, logs } = stage
  const asked: unknown[] = []
  const when = (error: unknown) => asked.push(error) > 0
  const fails: Record<string, Handler> = {
    async thrown () { throw deadlock() },
    sent (_request, reply) { void reply.send(deadlock()) }
  }
  for (const [name, handler] of Object.entries(fails)) {
    app.post(`/${name}`, { config: { db: { retry: { attempts: 2, backoff: 1, when } } } }, (request, reply) => handler(request, reply, () => {}))
  }
  for (const name of Object.keys(fails)) {
    asked.length = logs.length = 0
    t.match((await post(stage, `/${name}`)).json(), { statusCode: 503, code: 'FST_SCOPED_DB_RETRIES_EXHAUSTED' }, name)
    t.match(asked, [{ code: 'ER_LOCK_DEADLOCK' }, { code: 'ER_LOCK_DEADLOCK' }], name)
    t.equal(asked.length, 2)
    t.equal(logs.filter(({ msg }) => msg === LAST).length, 1)
  }
})

const slow = { config: { db: { retry: { attempts: 3, backoff: 30_000 } } } }

/** Makes every wait take its whole time. */
function waitLong (t: Test): void {
  const { random } = Math
  Math.random = () => 0.99
  t.teardown(() => { Math.random = random })
}

onEachDatabase('the time of a handler is up while it waits for its next attempt', { plugin: { commitOnTeardown: true, closeTimeout: 500 } }, async (t, stage) => {
  const { app, labels } = stage
  waitLong(t)
  let attempts = 0
  app.get('/', { ...slow, handlerTimeout: 1_000 }, async request => {
    attempts++
    await request.db.insert(Item, { label: 'never', amount: 0 })
    throw deadlock()
  })
  t.equal((await app.inject('/')).statusCode, 503)
  await app.close()
  t.equal(attempts, 1)
  t.same(await labels(), [])
})

onEachDatabase('its client leaves while a handler waits for its next attempt', { plugin: { commitOnTeardown: true, closeTimeout: 500 } }, async (t, stage) => {
  const { app, labels, logs } = stage
  waitLong(t)
  let attempts = 0
  app.post('/', slow, async request => {
    attempts++
    await request.db.insert(Item, { label: 'never', amount: 0 })
    throw deadlock()
  })
  const { port } = await stage.listen()
  const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  while (!logs.some(line => line.msg === AGAIN)) await new Promise(setImmediate)
  client.leave()
  await once(client.socket, 'close')
  await app.close()
  t.equal(attempts, 1, 'the long wait has ended with the application, and nothing was begun after it')
  t.same(await labels(), [])
})

void t.test('an attempt that nobody waits for any more is not made', async t => {
  let canRepeat = true
  let runs = 0
  const host = { pause: async () => { canRepeat = false } }
  const unit = { host, canRepeat: () => canRepeat, discardScope: async () => {}, renewScope: () => t.fail('a new scope'), attempt: (handler: () => unknown) => handler() }
  const reply = { raw: new ServerResponse(new IncomingMessage(new Socket())), send: () => reply, log: { warn: () => {}, error: () => {} } }
  const attempts = new HandlerRetry(unit as never, new Retry({ backoff: 1 }), reply as never, () => {
    runs++
    throw deadlock()
  })
  await t.rejects(attempts.start() as Promise<unknown>, { message: /Deadlock/ })
  t.equal(runs, 1)
})

onEachDatabase('db.run() does its function again', automatic, async (t, stage) => {
  const { app, labels, logs } = stage
  await app.ready()
  const attempts = failing(2)
  const sessions = new Set<unknown>()
  const result = await db.run(async session => {
    sessions.add(session.id)
    session.create(Item, { label: 'a' })
    await session.flush()
    attempts.fail()
    return 'result'
  }, { retry: { backoff: 1 } })
  t.equal(result, 'result')
  t.same([attempts.asked, sessions.size, await labels()], [3, 3, ['a']])
  t.equal(logs.filter(line => line.msg === AGAIN).length, 2)
  const always = failing(9)
  await t.rejects(db.run(always.fail, { retry: { attempts: 2, backoff: 1 } }), { code: 'FST_SCOPED_DB_RETRIES_EXHAUSTED', statusCode: 503, cause: { errno: 1213 } })
  t.equal(always.asked, 2)
  const byHand = failing(9)
  await t.rejects(db.run(async session => {
    session.create(Item, { label: 'by hand' })
    await db.commit()
    byHand.fail()
  }, { retry: 3 }), { message: /Deadlock/ })
  t.equal(byHand.asked, 1, 'part of it is committed')
  await t.rejects(db.run(() => { throw new Error('for good') }, { retry: 3 }), { message: 'for good' })
  t.same(await labels(), ['a', 'by hand'])
})

onEachDatabase('db.run() waits no longer than the application', {}, async (t, { database }) => {
  const app = Fastify()
  await app.register(scopedDb, { orm: database.options, commitOnTeardown: true, closeTimeout: 50 })
  await app.ready()
  const attempts = failing(9)
  const run = app.db.run(attempts.fail, { retry: { attempts: 9, backoff: 30_000 } })
  let isOver = false
  run.catch(() => { isOver = true })
  while (attempts.asked === 0) await new Promise(setImmediate)
  t.notOk(isOver, 'it waits for its next attempt')
  await Promise.all([app.close(), t.rejects(run)])
  t.ok(attempts.asked <= 2)
})

onEachDatabase('a real deadlock', { ...automatic, kinds: ['mysql'] }, async (t, stage) => {
  const { app, labels, database } = stage
  await database.witness.em.fork().insertMany(Item, [{ label: 'a', amount: 0 }, { label: 'b', amount: 0 }])
  const first = { a: new Gate(), b: new Gate() }
  app.post<{ Params: { label: 'a' | 'b' } }>('/:label', { config: { db: { retry: 5 } } }, async request => {
    const { label } = request.params
    const other = label === 'a' ? 'b' : 'a'
    await request.db.execute('update item set amount = amount + 1 where label = ?', [label])
    first[label].open()
    await first[other].opened
    await request.db.execute('update item set amount = amount + 1 where label = ?', [other])
    return 'text'
  })
  const both = await Promise.all([post(stage, '/a'), post(stage, '/b')])
  t.same(both.map(response => response.statusCode), [200, 200])
  t.same((await database.witness.em.fork().findAll(Item)).map(({ amount }) => amount), [2, 2], 'each has done its part once')
  t.ok(stage.logs.some(line => line.msg === AGAIN && (line['err'] as { errno?: number }).errno === 1213))
  t.same(await labels(), ['a', 'b'])
})

onEachDatabase('a connection lost before COMMIT was sent, and one whose COMMIT nobody knows of', { ...automatic, kinds: ['mysql'] }, async (t, stage) => {
  const second = await createDatabase('mysql')
  const { app, orm, proxy } = await proxied(t, second, { commitOnTeardown: true })
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await second.drop()
  })
  let attempts = 0
  app.post<{ Params: { label: string } }>('/:label', { config: { db: { retry: { backoff: 1 } } } }, async request => {
    attempts++
    app.db.session.create(Item, { label: request.params.label })
    return 'text'
  })
  let cuts = 1
  proxy.react = sql => /^insert/i.test(sql) && cuts-- > 0 ? 'cut before' : undefined
  t.equal((await app.inject({ method: 'POST', url: '/insert' })).statusCode, 200)
  t.equal(attempts, 2)
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  t.match((await app.inject({ method: 'POST', url: '/unknown' })).json(), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.equal(attempts, 3, 'not done again')
  t.same(await stage.labels(), [])
})

onEachDatabase('a database that is locked', { ...automatic, kinds: ['sqlite'] }, async (t, stage) => {
  const { app, labels, orm, database } = stage
  await orm.driver.execute('pragma busy_timeout = 0')
  await database.witness.driver.execute('begin immediate')
  let attempts = 0
  app.post('/', retry, async request => {
    if (++attempts === 2) await database.witness.driver.execute('rollback')
    return request.db.create(Item, { label: 'a' })
  })
  t.equal((await post(stage)).statusCode, 200)
  t.equal(attempts, 2)
  t.same(await labels(), ['a'])
})

onEachDatabase('wrong options', automatic, async (t, { app, orm }) => {
  await app.ready()
  const add = (retry: unknown) => async () => app.get('/', { config: { db: { retry: retry as number } } }, async () => 'ok')
  for (const given of [1, 0, 101, 2.5, '3', true, []]) await t.rejects(add(given), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"retry" in config\.db of GET \/ takes a number of attempts from 2 to 100/ })
  await t.rejects(add({ attempts: 1 }), { message: /"retry\.attempts"/ })
  await t.rejects(add({ backoff: 0 }), { message: /"retry\.backoff"/ })
  await t.rejects(add({ when: async () => true }), { message: /"retry\.when".* a function \(error, isTransient\) => boolean that is not async/ })
  await t.rejects(add({ times: 3 }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"retry\.times"/ })
  await t.rejects(db.run(() => {}, { retry: 1 }), { message: /"retry" of db\.run\(\)/ })
  await t.rejects(db.run(() => {}, { retry: 3, commitOnTeardown: false }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"retry" of db\.run\(\) takes a commitOnTeardown/ })
  t.throws(() => db.open({ retry: 3 } as object), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"retry" of db\.open\(\)/ })
  const late = Fastify()
  late.get('/early', { config: { db: { retry: 3 } } }, async () => 'ok')
  await t.rejects(async () => await late.register(scopedDb, { orm, retry: 3 } as object), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION' })
  await late.close()
  const early = Fastify()
  early.get('/early', { config: { db: { retry: 3 } } }, async () => 'ok')
  await early.register(scopedDb, { orm, commitOnTeardown: true })
  t.match((await early.inject('/early')).json(), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"retry" in config\.db of GET \/early takes a route that is added after the plugin was registered, got one that was added before/ })
  await early.close()
})

void t.test('how long it waits', async t => {
  const waits: number[] = []
  const log = { warn: ({ wait }: { wait?: number }) => { waits.push(Number(wait)) }, error: () => {} } as never
  const paused: number[] = []
  const host = { pause: async (milliseconds: number) => { paused.push(milliseconds) } }
  const retry = new Retry({ attempts: 31, backoff: 8 })
  for (let attempt = 1; attempt <= 30; attempt++) await retry.pause(deadlock(), attempt, log, host)
  t.equal(waits.length, 30)
  t.same(paused, waits)
  t.ok(waits.every((wait, n) => wait >= 0 && wait <= Math.min(30_000, 8 * 2 ** n)))
  t.ok(new Set(waits.slice(15)).size > 5, 'a random part')
  await t.rejects(retry.pause(deadlock(), 31, log, host), new RetriesExhaustedError(31))
  t.equal(new Retry(5).attempts, 5)
  t.equal(new Retry({}).attempts, 3)
})
