/** Replies that are streamed while their session is still open, to be read from. */
import { Readable } from 'node:stream'
import { db } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('while the body streams the session reads, and refuses to write', automatic, async (t, { app, labels, listen, assertClean }) => {
  const refused = new Gate<unknown>()
  app.post('/', async (request, reply) => {
    for (const label of ['a', 'b', 'c']) request.db.create(Item, { label })
    return reply.type('text/plain').send(Readable.from((async function * () {
      for await (const item of request.db.stream(Item, { orderBy: { id: 'asc' } })) yield `${item.label};`
      yield `${await request.db.count(Item)};`
      await request.db.insert(Item, { label: 'late', amount: 0 }).catch((error: unknown) => refused.open(error))
      yield 'end'
    })()))
  })
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(await response.text(), 'a;b;c;3;end')
  t.match(await refused.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is committed\./ })
  await assertClean()
  t.same(await labels(), ['a', 'b', 'c'])
})

onEachDatabase('a session that is first asked for while the body streams reads, and refuses to write', automatic, async (t, { app, labels, listen, assertClean }) => {
  app.post('/', async (request, reply) => reply.type('text/plain').send(Readable.from((async function * () {
    yield 'begun;'
    yield `${await request.db.count(Item)};`
    await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    yield 'end'
  })())))
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(await response.text(), 'begun;0;end')
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('a stream that is fed after a commit by hand', automatic, async (t, { app, labels, assertClean }) => {
  app.post('/', async (request, reply) => {
    const body = new Readable({ read () {} })
    request.db.create(Item, { label: 'committed' })
    db.afterCommit(async () => {
      body.push('committed')
      body.push(null)
    })
    await db.commit()
    return reply.type('text/plain').send(body)
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'committed')
  await assertClean()
  t.same(await labels(), ['committed'])
})

onEachDatabase('a stream of rows that breaks off', automatic, async (t, { app, database, listen, assertClean }) => {
  const em = database.witness.em.fork()
  for (let n = 0; n < 2000; n++) em.create(Item, { label: `row ${n} ${'x'.repeat(200)}` })
  await em.flush()
  const ended = new Gate()
  app.get('/', async (request, reply) => {
    return reply.type('text/plain').send(Readable.from((async function * () {
      try {
        for await (const item of request.db.stream(Item, {})) yield item.label
      } finally {
        ended.open()
      }
    })()))
  })
  const { port } = await listen()
  const client = await rawClient(port, ['GET / HTTP/1.1', 'Host: localhost', '', ''])
  await client.until('row 1')
  client.leave()
  await ended.opened
  await assertClean()
  t.pass('the connection is free again')
})
