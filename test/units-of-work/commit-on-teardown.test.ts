/** The rule of commitOnTeardown. */
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

onEachDatabase('a function as commitOnTeardown replaces the rule, dooming aside', {
  plugin: { commitOnTeardown: (request, reply, error) => request.url === '/keep' && reply.statusCode === 500 && error?.message === 'kept' }
}, async (t, { app, labels }) => {
  app.post('/keep', async request => {
    request.db.create(Item, { label: 'kept' })
    throw new Error('kept')
  })
  app.post('/drop', async request => request.db.create(Item, { label: 'dropped' }))
  app.post('/doomed', { config: { db: { commitOnTeardown: () => true } } }, async request => {
    db.setRollbackOnly()
    return request.db.create(Item, { label: 'doomed' })
  })
  t.match((await app.inject({ method: 'POST', url: '/keep' })).json(), { statusCode: 500, message: 'kept' })
  t.equal((await app.inject({ method: 'POST', url: '/drop' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/doomed' })).statusCode, 200)
  t.same(await labels(), ['kept'])
})

onEachDatabase('a 304 says that the client knows the answer: what it stands for counts', { plugin: { commitOnTeardown: true } }, async (t, { app, labels }) => {
  // As @fastify/etag does, whatever the status.
  app.addHook('onSend', async (request, reply) => { if (request.headers['if-none-match'] === '"known"') reply.code(304) })
  for (const status of [200, 303, 304, 409, 500]) {
    app.post(`/${status}`, async (request, reply) => {
      await request.db.insert(Item, { label: `answered ${status}`, amount: 0 })
      return await reply.code(status).send('')
    })
  }
  app.post('/returned', async (request, reply) => {
    reply.code(409)
    return request.db.create(Item, { label: 'returned' })
  })
  for (const path of ['/200', '/303', '/304', '/409', '/500', '/returned']) {
    t.equal((await app.inject({ method: 'POST', url: path, headers: { 'if-none-match': '"known"' } })).statusCode, 304)
  }
  t.same(await labels(), ['answered 200', 'answered 303', 'answered 304'])
})

onEachDatabase('a rule that throws is an error of the request', {
  plugin: { commitOnTeardown: () => { throw new Error('no rule') } }
}, async (t, { app, labels }) => {
  app.post('/', async request => request.db.create(Item, { label: 'ruled' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'no rule' })
  t.same(await labels(), [])
})

onEachDatabase('a rule that gives a promise is refused', { plugin: { commitOnTeardown: (() => Promise.resolve(false)) as never } }, async (t, { app, labels }) => {
  app.post('/', async request => request.db.create(Item, { label: 'promised' }))
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"commitOnTeardown" takes an answer of true or false/ })
  t.same(await labels(), [])
})

onEachDatabase('without commitOnTeardown nothing is flushed by itself', { plugin: { commitOnTeardown: false } }, async (t, { app, labels, logs }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'forgotten' })
    return { fine: true }
  })
  app.post('/nothing', async request => ({ count: await request.db.count(Item) }))
  t.equal((await app.inject({ method: 'POST', url: '/nothing' })).statusCode, 200)
  t.notOk(logs.some(line => line.msg.startsWith('unflushed changes')))
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.ok(logs.some(line => line.msg.startsWith('unflushed changes')))
  t.same(await labels(), [])
})
