/** What overlaps within one request: replies, nested transactions, statements and streams. */
import { TransactionPropagation, UniqueConstraintViolationException } from '@mikro-orm/core'
import { sql } from 'kysely'
import { AsyncLocalStorage } from 'node:async_hooks'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

for (const way of ['handlerTimeout', 'a throw after reply.send()']) {
  onEachDatabase(`an error while a reply waits for its flush, and an error handler that takes its time: ${way}`, automatic, async (t, { app, labels, orm, assertClean, listen }) => {
    const failed = new Gate()
    orm.em.getEventManager().registerSubscriber({ async afterFlush () { await failed.opened } })
    app.setErrorHandler(async (_error, _request, reply) => {
      failed.open()
      // The flush ends meanwhile.
      await sleep(200)
      return await reply.code(500).send({ failed: true })
    })
    app.post('/', way === 'handlerTimeout' ? { handlerTimeout: 500 } : {}, async (request, reply) => {
      request.db.create(Item, { label: 'flushed' })
      if (way === 'handlerTimeout') return { fine: true }
      void reply.send({ fine: true })
      await sleep(10)
      throw new Error('after the reply')
    })
    const { origin } = await listen()
    const response = await fetch(origin, { method: 'POST' })
    t.equal(response.status, 500)
    t.same(await response.json(), { failed: true })
    await assertClean()
    t.same(await labels(), [])
  })
}

onEachDatabase('an error while a hook of the reply takes its time', automatic, async (t, { app, labels, listen, assertClean }) => {
  const failed = new Gate()
  app.addHook('onError', async () => { failed.open() })
  app.addHook('onSend', async request => {
    if (request.headers['x-first'] === undefined) {
      request.headers['x-first'] = 'seen'
      await failed.opened
    } else await sleep(100)
  })
  app.setErrorHandler(async (_error, _request, reply) => {
    await sleep(50)
    return await reply.code(503).send({ failed: true })
  })
  app.post('/', { handlerTimeout: 500 }, async request => request.db.create(Item, { label: 'slow hook' }))
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(response.status, 503)
  t.same(await response.json(), { failed: true })
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('a request that the hook of an error reply makes is answered by itself', automatic, async (t, { app, labels, assertClean }) => {
  app.addHook('onSend', async request => {
    if (request.url === '/inner') request.db.create(Item, { label: 'inner' })
    else t.match(await app.inject({ method: 'POST', url: '/inner' }), { statusCode: 200, body: 'ok' })
  })
  app.post('/outer', async request => {
    request.db.create(Item, { label: 'outer' })
    throw new Error('it fails')
  })
  app.post('/inner', async () => 'ok')
  t.equal((await app.inject({ method: 'POST', url: '/outer' })).statusCode, 500)
  await assertClean()
  t.same(await labels(), ['inner'])
})

for (const context of ['none at all', 'that of its request'] as const) {
  onEachDatabase(`an error reply is sent although its onSend hook goes on in another context: ${context}`, automatic, async (t, { app, labels, assertClean }) => {
    let elsewhere = AsyncLocalStorage.snapshot()
    if (context === 'that of its request') app.addHook('preHandler', async () => { elsewhere = AsyncLocalStorage.snapshot() })
    app.addHook('onSend', (_request, _reply, _payload, done) => { elsewhere(setImmediate, done) })
    app.post('/', async request => {
      request.db.create(Item, { label: 'lost' })
      throw new Error('it fails')
    })
    t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'it fails' })
    await assertClean()
    t.same(await labels(), [])
  })
}

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`flushes that wait for one that fails, commitOnTeardown: ${commitOnTeardown}`, { plugin: { commitOnTeardown } }, async (t, { app, labels }) => {
    app.post('/', async request => {
      const em = request.db
      for (const label of ['same', 'same']) em.create(Item, { label })
      const flushes = await Promise.allSettled([em.flush(), em.flush(), em.flush()])
      return flushes.map(flush => flush.status === 'rejected' && flush.reason instanceof UniqueConstraintViolationException)
    })
    const response = await app.inject({ method: 'POST', url: '/' })
    if (commitOnTeardown) t.match(response.json(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    else t.same(response.json(), [true, true, true])
    t.same(await labels(), [])
  })
}

onEachDatabase('nested transactions side by side take turns', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const em = request.db
    const results = await Promise.allSettled([
      em.transactional(async inner => {
        inner.create(Item, { label: 'a' })
        await inner.flush()
        await sleep(20)
        throw new Error('only this one')
      }),
      em.transactional(async inner => { inner.create(Item, { label: 'b' }) }),
      (async () => {
        em.create(Item, { label: 'outer' })
        await em.flush()
      })()
    ])
    return results.map(({ status }) => status)
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), ['rejected', 'fulfilled', 'fulfilled'])
  t.same(await labels(), ['b', 'outer'])
})

for (const propagation of ['REQUIRES_NEW', 'NOT_SUPPORTED'] as const) {
  onEachDatabase(`what the session writes meanwhile stays in its transaction: ${propagation}`, { ...automatic, kinds: servers }, async (t, { app, labels }) => {
    app.post('/', async (request, reply) => {
      const em = request.db
      const inside = new Gate()
      await Promise.all([
        em.transactional(async other => {
          await other.insert(Item, { label: 'beside', amount: 0 })
          inside.open()
          await sleep(30)
        }, { propagation: TransactionPropagation[propagation] }),
        inside.opened.then(async () => {
          await em.insert(Item, { label: 'insert', amount: 0 })
          em.create(Item, { label: 'flush' })
          await em.flush()
        })
      ])
      return await reply.code(409).send('conflict')
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 409)
    t.same(await labels(), ['beside'])
  })
}

onEachDatabase('a new transaction does not wait for a nested one', { ...automatic, kinds: servers }, async (t, { app, labels }) => {
  app.post('/', async request => {
    const em = request.db
    const inside = new Gate()
    const done = new Gate()
    await Promise.all([
      em.transactional(async () => {
        inside.open()
        await done.opened
      }),
      inside.opened.then(async () => {
        await em.transactional(async other => { await other.insert(Item, { label: 'new', amount: 0 }) }, { propagation: TransactionPropagation.REQUIRES_NEW })
        done.open()
      })
    ])
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['new'])
})

onEachDatabase('a statement while the reader of a query stream works on a row', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    for (const label of ['a', 'b']) await request.db.insert(Item, { label, amount: 0 })
    for await (const item of request.db.stream(Item, {})) await request.db.nativeUpdate(Item, { id: item.id }, { amount: 1 })
    return 'ok'
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_OPEN_STREAM' })
  t.same(await labels(), [])
})

onEachDatabase('a statement while the reader of a query stream waits for a row', automatic, async (t, { app }) => {
  app.post('/', async request => {
    for (const label of ['a', 'b']) await request.db.insert(Item, { label, amount: 0 })
    const read = async () => {
      const labels: string[] = []
      for await (const item of request.db.stream(Item, {})) labels.push(item.label)
      return labels
    }
    return await Promise.all([read(), request.db.count(Item)])
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), [['a', 'b'], 2])
})

onEachDatabase('a statement while the first row of a query stream takes its time', { ...automatic, kinds: servers }, async (t, { app, dialect }) => {
  app.post('/', async request => {
    const read = async () => {
      const rows: unknown[] = []
      for await (const row of request.db.getKysely().selectNoFrom(sql.raw(dialect.sleep(0.2)).as('slept')).stream()) rows.push(row)
      return rows
    }
    return await Promise.all([read(), sleep(50).then(async () => await request.db.count(Item))])
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), [[{ slept: dialect.slept }], 0])
})

onEachDatabase('a body that reads while a subscriber still looks at the commit', automatic, async (t, { app, orm }) => {
  orm.em.getEventManager().registerSubscriber({ async afterTransactionCommit () { await sleep(50) } })
  app.post('/', async (request, reply) => {
    for (const label of ['a', 'b']) request.db.create(Item, { label })
    return reply.type('text/plain').send(Readable.from((async function * () {
      for await (const item of request.db.stream(Item, { orderBy: { label: 'asc' } })) yield item.label
    })()))
  })
  const response = await app.inject({ method: 'POST', url: '/' })
  t.equal(response.statusCode, 200)
  t.equal(response.body, 'ab')
})

onEachDatabase('a body that reads while the commit still waits for its turn', { ...automatic, kinds: servers }, async (t, { app, dialect, labels }) => {
  app.post('/', async (request, reply) => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    const slow = request.db.execute(`select ${dialect.sleep(0.2)}`)
    const count = sleep(50).then(async () => await request.db.count(Item))
    return reply.type('text/plain').send(Readable.from((async function * () {
      yield String(await count)
      await slow
    })()))
  })
  const response = await app.inject({ method: 'POST', url: '/' })
  t.equal(response.body, '1')
  t.same(await labels(), ['a'])
})

onEachDatabase('an error is answered without waiting for a statement that still runs', { ...automatic, kinds: servers }, async (t, { app, dialect, labels }) => {
  const events: string[] = []
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    void request.db.execute(`select ${dialect.sleep(0.5)}`).then(() => events.push('statement'))
    await sleep(50)
    throw new Error('at once')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'at once' })
  t.same(events, [])
  await app.close()
  t.same(events, ['statement'])
  t.same(await labels(), [])
})

onEachDatabase('a read that waits while its scope is rolled back is answered outside', { plugin: { commitOnTeardown: true }, kinds: ['sqlite'] }, async (t, { app, labels }) => {
  const reads: Promise<number>[] = []
  app.post('/', async (request, reply) => {
    void request.db.insert(Item, { label: 'a', amount: 1 }).catch(() => undefined)
    const read = request.db.count(Item)
    reads.push(read)
    const body = new Readable({ read () {} })
    void read.finally(() => body.push(null))
    return await reply.code(409).send(body)
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 409)
  t.same(await Promise.all(reads), [0])
  t.same(await labels(), [])
})

onEachDatabase('a transaction that cannot begin while its scope commits leaves nothing to commit', { plugin: { commitOnTeardown: true } }, async (t, { app, orm, labels }) => {
  const failures: Promise<unknown>[] = []
  const begins = new Gate()
  const go = new Gate()
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionStart () {
      begins.open()
      await go.opened
      throw new Error('not now')
    }
  })
  app.post('/', async request => {
    failures.push(t.rejects(request.db.insert(Item, { label: 'a', amount: 1 }), { message: 'not now' }))
    await begins.opened
    setImmediate(() => { go.open() })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await Promise.all(failures)
  t.same(await labels(), [])
})
