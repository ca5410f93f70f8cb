/** What is changed after the commit, while the reply streams: the client must not take the reply for a whole one. */
import { connect } from 'node:http2'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type LogLine } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const BROKEN = 'a streamed reply was broken off: something was changed after the commit of its scope'
const LOST = 'changes that came after the commit of their scope were lost'

type Change = () => unknown

/** A body whose first chunk waits for nothing, so that the commit is over by the second. */
async function * body (change: Change): AsyncGenerator<string> {
  const item = await db.session.findOneOrFail(Item, { label: 'there' })
  yield 'sa'
  await new Promise(setImmediate)
  await change.call(item)
  yield 'v'
  yield 'ed'
}

const webStream = (change: Change) => Readable.toWeb(Readable.from(encoded(change)))

async function * encoded (change: Change): AsyncGenerator<Uint8Array> {
  for await (const chunk of body(change)) yield new TextEncoder().encode(chunk)
}

/** How a reply can be streamed. */
const STREAMS: Record<string, (reply: FastifyReply, change: Change) => unknown> = {
  stream: (reply, change) => reply.type('text/plain').send(Readable.from(body(change))),
  'stream with a length': (reply, change) => reply.type('text/plain').header('content-length', '5').send(Readable.from(body(change))),
  'stream with trailers': (reply, change) => reply.type('text/plain').trailer('etag', (_reply, _payload, done) => { done(null, 'x') }).send(Readable.from(body(change))),
  events: (reply, change) => reply.type('text/event-stream').send(Readable.from(body(change))),
  'web stream': (reply, change) => reply.type('text/plain').send(webStream(change)),
  Response: (reply, change) => reply.send(new Response(webStream(change) as never, { headers: { 'content-type': 'text/plain' } }))
}

const CHANGES: Record<string, Change> = {
  'something is created': () => db.session.create(Item, { label: 'late' }),
  'something is persisted': () => db.session.persist(db.session.create(Item, { label: 'late' }, { persist: false })),
  'something is changed': async () => { (await db.session.findOneOrFail(Item, { label: 'there' })).amount++ },
  'something is removed': async () => { db.session.remove(await db.session.findOneOrFail(Item, { label: 'there' })) },
  'something is changed that cannot be converted': async () => { (await db.session.findOneOrFail(Item, { label: 'there' })).amount = { toJSON () { throw new Error('no') } } as never }
}

const messages = (logs: LogLine[]) => logs.filter(({ level }) => level === 50).map(({ msg }) => msg)

for (const [kind, send] of Object.entries(STREAMS)) {
  onEachDatabase(`a streamed reply is broken off when something comes after its commit: ${kind}`, automatic, async (t, { app, orm, logs, labels, listen, assertClean }) => {
    for (const [n, change] of Object.values(CHANGES).entries()) app.post(`/${n}`, async (_request, reply) => await send(reply, change))
    app.post('/reads', async (request, reply) => {
      request.db.create(Item, { label: 'kept' })
      return await send(reply, async () => {
        const [item] = await db.session.findAll(Item, { populate: ['parts'] })
        db.session.create(Item, { label: item?.label ?? '' }, { persist: false })
        db.session.getReference(Item, 4711)
      })
    })
    await orm.em.fork().insert(Item, { label: 'there', amount: 0 })
    const { origin } = await listen()
    for (const [n, title] of Object.keys(CHANGES).entries()) {
      logs.length = 0
      await t.rejects(fetch(`${origin}/${n}`, { method: 'POST' }).then(async response => await response.text()), title)
      await assertClean()
      t.ok(messages(logs).includes(BROKEN), title)
      t.ok(messages(logs).some(message => message.startsWith(LOST)), title)
      t.equal(messages(logs).length, 2, title)
      t.same(await labels(), ['there'])
      t.equal((await orm.em.fork().findOneOrFail(Item, { label: 'there' })).amount, 0)
    }
    logs.length = 0
    const response = await fetch(`${origin}/reads`, { method: 'POST' })
    t.equal(await response.text(), 'saved')
    await assertClean()
    t.same(messages(logs), [])
    t.same(await labels(), ['kept', 'there'])
  })
}

onEachDatabase('over HTTP/2, too', { ...automatic, fastify: { http2: true } as never }, async (t, { app, orm, logs, listen }) => {
  app.get('/late', async (_request, reply) => await reply.type('text/plain').send(Readable.from(body(() => db.session.create(Item, { label: 'late' })))))
  app.get('/', async (_request, reply) => await reply.type('text/plain').send(Readable.from(body(() => {}))))
  await orm.em.fork().insert(Item, { label: 'there', amount: 0 })
  const { origin } = await listen()
  const client = connect(origin)
  const get = async (path: string) => {
    const stream = client.request({ ':path': path })
    let text = ''
    stream.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
    await once(stream, 'close')
    return `${text} ${stream.rstCode}`
  }
  t.equal(await get('/'), 'saved 0')
  t.not(await get('/late'), 'saved 0')
  t.ok(messages(logs).includes(BROKEN))
  client.close()
})

onEachDatabase('a reply that rolls back, and plain MikroORM, are streamed to their end', automatic, async (t, { app, orm, logs, listen, assertClean }) => {
  const late = () => db.session.create(Item, { label: 'late' })
  app.post('/conflict', async (_request, reply) => await reply.code(409).type('text/plain').send(Readable.from(body(late))))
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async (_request, reply) => await reply.type('text/plain').send(Readable.from(body(late))))
  app.post('/hijacked', async (_request, reply) => {
    reply.hijack()
    reply.raw.end('saved')
  })
  await orm.em.fork().insert(Item, { label: 'there', amount: 0 })
  const { origin } = await listen()
  for (const path of ['/conflict', '/manual', '/hijacked']) {
    const response = await fetch(`${origin}${path}`, { method: 'POST' })
    t.equal(await response.text(), 'saved', path)
    await assertClean()
  }
  t.same(messages(logs), [])
})
