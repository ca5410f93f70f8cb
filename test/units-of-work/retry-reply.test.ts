/** What the attempts after a transient error answer. */
import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { AGAIN, failing, type Handler, post, retry } from '../support/retries.ts'

const automatic = { plugin: { commitOnTeardown: true } }

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
