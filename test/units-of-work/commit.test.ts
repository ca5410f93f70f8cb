/** What is answered, and what is in the database then. */
import Fastify, { type RouteShorthandOptions } from 'fastify'
import { randomBytes } from 'node:crypto'
import scopedDb, { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('answered 2xx or 3xx: it is in the database', automatic, async (t, { app, labels }) => {
  app.post('/created', async (request, reply) => {
    const item = request.db.create(Item, { label: 'created' })
    reply.code(201).header('set-cookie', ['a=1', 'b=2'])
    return item
  })
  app.post('/redirected', async (request, reply) => {
    request.db.create(Item, { label: 'redirected' })
    return reply.redirect('/elsewhere', 303)
  })
  app.post('/empty', async (request, reply) => {
    request.db.create(Item, { label: 'empty' })
    await reply.code(204).send()
  })

  const created = await app.inject({ method: 'POST', url: '/created' })
  t.equal(created.statusCode, 201)
  t.type(created.json().id, 'number', 'the generated id is in the reply')
  t.equal((await app.inject({ method: 'POST', url: '/redirected' })).statusCode, 303)
  t.equal((await app.inject({ method: 'POST', url: '/empty' })).statusCode, 204)
  t.same(await labels(), ['created', 'empty', 'redirected'])
})

onEachDatabase('an object as the reply needs no session', automatic, async (t, { app, logs }) => {
  app.get('/', async () => ({ without: 'a session' }))
  t.same((await app.inject('/')).json(), { without: 'a session' })
  t.same(logs.filter(({ level }) => level > 30), [])
})

onEachDatabase('answered 4xx or 5xx: it is not', automatic, async (t, { app, labels, logs }) => {
  app.post('/caught', async (request, reply) => {
    try {
      request.db.create(Item, { label: 'caught' })
      await request.db.flush()
      throw new Error('on the way')
    } catch {
      return await reply.code(409).send({ conflict: true })
    }
  })
  app.post('/thrown', async request => {
    request.db.create(Item, { label: 'thrown' })
    await request.db.flush()
    throw new Error('thrown')
  })
  app.post('/sent', (request, reply) => {
    request.db.create(Item, { label: 'sent' })
    reply.send(new Error('sent'))
  })
  app.post('/late', async (request, reply) => {
    request.db.create(Item, { label: 'late' })
    await request.db.flush()
    reply.code(500)
    return { failed: true }
  })
  for (const [url, status] of Object.entries({ '/caught': 409, '/thrown': 500, '/sent': 500, '/late': 500 })) {
    t.equal((await app.inject({ method: 'POST', url })).statusCode, status, url)
  }
  t.same(await labels(), [])
  t.notOk(logs.some(line => line.msg.startsWith('unflushed changes')), 'what is rolled back was not forgotten')
})

onEachDatabase('an error that an error handler turns into a 200 rolls back', automatic, async (t, { app, labels }) => {
  app.setErrorHandler((_error, _request, reply) => reply.code(200).send({ fine: true }))
  app.post('/', async request => {
    request.db.create(Item, { label: 'hidden' })
    await request.db.flush()
    throw new Error('hidden')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

onEachDatabase('a doomed scope rolls back whatever the answer', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'doomed' })
    db.setRollbackOnly()
    await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', message: /db\.setRollbackOnly\(\) was called/ })
    await t.rejects(request.db.commit(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    return { fine: true }
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

onEachDatabase('validation errors and unknown routes cost nothing', automatic, async (t, { app }) => {
  app.post('/', { schema: { body: { type: 'object', required: ['name'] } } }, async () => 'never')
  t.equal((await app.inject({ method: 'POST', url: '/', payload: {} })).statusCode, 400)
  t.equal((await app.inject('/nowhere')).statusCode, 404)
})

onEachDatabase('a 404 handler that answers 200 commits', automatic, async (t, { app, labels }) => {
  app.setNotFoundHandler(async (request, reply) => {
    request.db.create(Item, { label: request.url })
    return await reply.code(request.url === '/page' ? 200 : 404).send('page')
  })
  t.equal((await app.inject('/page')).statusCode, 200)
  t.equal((await app.inject('/missing')).statusCode, 404)
  t.same(await labels(), ['/page'])
})

onEachDatabase('db.commit() and db.rollback() act now, and the next statement begins anew', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    await db.commit()
    request.db.create(Item, { label: 'a committed' })
    await db.commit()
    t.same(await labels(), ['a committed'])
    request.db.create(Item, { label: 'b rolled back' })
    await request.db.flush()
    await db.rollback()
    request.db.create(Item, { label: 'c committed with em' })
    await request.db.commit()
    t.same(await labels(), ['a committed', 'c committed with em'])
    await request.db.begin()
    request.db.create(Item, { label: 'd rolled back with em' })
    await request.db.flush()
    await request.db.rollback()
    t.equal(await request.db.count(Item), 2)
    request.db.create(Item, { label: 'e answered 500' })
    await request.db.flush()
    throw new Error('after all')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'after all' })
  t.same(await labels(), ['a committed', 'c committed with em'], 'what was committed early stays')
})

onEachDatabase('db.rollback() or db.remove() with nothing after it: answered 200, and nothing is there', automatic, async (t, { app, labels }) => {
  const ways = { rollback: db.rollback, remove: db.remove }
  for (const [name, undo] of Object.entries(ways)) {
    app.post(`/${name}`, async request => {
      await request.db.insert(Item, { label: name })
      await undo()
      return { done: true }
    })
  }
  for (const name of Object.keys(ways)) t.equal((await app.inject({ method: 'POST', url: `/${name}` })).statusCode, 200, name)
  t.same(await labels(), [])
})

onEachDatabase('a reply that is sent twice commits once', automatic, async (t, { app, labels }) => {
  app.post('/object', async (request, reply) => {
    request.db.create(Item, { label: 'object' })
    reply.send({ first: true })
  })
  app.post('/string', async (request, reply) => {
    request.db.create(Item, { label: 'string' })
    reply.send('first')
  })
  t.same((await app.inject({ method: 'POST', url: '/object' })).json(), { first: true })
  t.equal((await app.inject({ method: 'POST', url: '/string' })).body, 'first')
  t.same(await labels(), ['object', 'string'])
})

onEachDatabase('em.begin() begins the transaction that the reply commits', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'before', amount: 0 })
    await request.db.begin()
    request.db.create(Item, { label: 'after' })
    return await request.db.count(Item, { label: 'before' }).then(String)
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, '1')
  t.same(await labels(), ['after', 'before'])
})

onEachDatabase('a read that fails outside the transaction does not doom it', automatic, async (t, { app, labels }) => {
  app.get('/', async request => {
    await t.rejects(request.db.execute('select nothing from nowhere'))
    await request.db.insert(Item, { label: 'a', amount: 0 })
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
  t.same(await labels(), ['a'])
})

onEachDatabase('what is rolled back anyway is not written before', automatic, async (t, { app, labels }) => {
  const twice = (em: typeof db.session) => {
    for (const name of ['one', 'two']) em.create(Item, { label: 'same', amount: name.length })
    return { fine: true }
  }
  app.post('/status', async (request, reply) => {
    reply.code(400)
    return twice(request.db)
  })
  app.post('/doomed', async request => {
    db.setRollbackOnly()
    return twice(request.db)
  })
  const errorHandler = (async (_error, request) => twice(request.db)) as Required<RouteShorthandOptions>['errorHandler']
  app.post('/thrown', { errorHandler }, async (_request, reply) => {
    reply.code(200)
    throw new Error('thrown')
  })
  for (const [url, status] of Object.entries({ '/status': 400, '/doomed': 200 })) {
    const response = await app.inject({ method: 'POST', url })
    t.same([response.statusCode, response.json()], [status, { fine: true }], url)
  }
  t.same((await app.inject({ method: 'POST', url: '/thrown' })).json(), { fine: true })
  t.same(await labels(), [])
})

onEachDatabase('the first request makes the database', { kinds: servers }, async (t, { database }) => {
  for (const path of ['/read', '/write']) {
    const orm = await database.connect({ dbName: `scoped_db_${randomBytes(6).toString('hex')}`, ensureDatabase: { create: true } })
    const app = Fastify()
    await app.register(scopedDb, { orm, commitOnTeardown: true })
    app.get('/read', async request => await request.db.count(Item).then(String))
    app.get('/write', { config: { db: { begin: 'statement' } } }, async request => {
      request.db.create(Item, { label: 'first' })
    })
    t.equal((await app.inject(path)).statusCode, 200, path)
    t.equal(await orm.em.fork().count(Item), path === '/read' ? 0 : 1)
    await app.close()
    await orm.schema.dropDatabase()
    await orm.close()
  }
})
