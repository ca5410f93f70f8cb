import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

onEachDatabase('a hook that answers before the scope is there', {}, async (t, { orm }) => {
  const app = Fastify()
  app.addHook('onRequest', async (_request, reply) => await reply.code(401).send('no'))
  await app.register(scopedDb, { orm, name: 'refused', commitOnTeardown: true })
  app.get('/', async () => 'never')
  t.equal((await app.inject('/')).statusCode, 401)
  await app.close()
})

onEachDatabase('an onResponse hook that fails does not keep the session', automatic, async (t, { orm, labels }) => {
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'failing-hook' })
  app.addHook('onResponse', async () => { throw new Error('in onResponse') })
  app.post('/', async request => request.db.create(Item, { label: 'hooked' }))
  app.post('/hijacked', async (request, reply) => {
    await request.db.insert(Item, { label: 'hijacked', amount: 0 })
    reply.hijack()
    reply.raw.end('ok')
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal((await fetch(origin, { method: 'POST' })).status, 200)
  t.equal((await fetch(`${origin}/hijacked`, { method: 'POST' })).status, 200)
  for (let attempt = 0; attempt < 500 && app.db.openScopes > 0; attempt++) await sleep(10)
  t.equal(app.db.openScopes, 0)
  t.same(await labels(), ['hijacked', 'hooked'])
  await app.close()
})

for (const [mode, options] of Object.entries({ automatic, manual })) {
  onEachDatabase(`what a hook asks for after a rollback only reads (${mode})`, options, async (t, { app, labels }) => {
    const checked = new Gate()
    app.addHook('onResponse', async request => {
      t.equal(await request.db.count(Item), 0)
      await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is rolled back\./ })
      await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
      checked.open()
    })
    app.setErrorHandler<Error>(async (error, _request, reply) => { await reply.code(error.message === 'answered 200' ? 200 : 400).send('no') })
    app.post('/without-session', async (_request, reply) => await reply.code(400).send('no'))
    app.post('/thrown', async () => { throw new Error('answered 200') })
    app.post('/with-session', async (request, reply) => {
      await request.db.count(Item)
      return await reply.code(400).send('no')
    })
    for (const url of ['/without-session', '/with-session', '/thrown']) t.equal((await app.inject({ method: 'POST', url })).statusCode, url === '/thrown' ? 200 : 400, url)
    await checked.opened
    t.same(await labels(), [])
  })
}

onEachDatabase('what a hook asks for after a commit only reads', automatic, async (t, { app, labels }) => {
  const checked = new Gate()
  app.addHook('onResponse', async request => {
    await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is committed\./ })
    t.equal(await request.db.count(Item), 0)
    checked.open()
  })
  app.post('/', async () => 'text')
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await checked.opened
  t.same(await labels(), [])
})
