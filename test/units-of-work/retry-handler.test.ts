/** Transient errors: the unit of work is rolled back and done again, before anything reaches the client. */
import { TransactionPropagation } from '@mikro-orm/core'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { AGAIN, failing, type Handler, LAST, post, retry } from '../support/retries.ts'

const automatic = { plugin: { commitOnTeardown: true } }

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
