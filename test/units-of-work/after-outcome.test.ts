/** Work after the commit or the rollback: once, outside the transaction, and nobody waits for it but the end of the application. */
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { createDatabase, servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { recorder } from '../support/recorder.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

const post = async ({ app }: Stage, url = '/') => (await app.inject({ method: 'POST', url })).statusCode

onEachDatabase('work after the commit and after the rollback of a request', automatic, async (t, stage) => {
  const { app, labels } = stage
  const works = recorder()
  const found: unknown[] = []
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    const { status } = request.params
    works.await('before the session')
    request.db.create(Item, { label: status })
    works.await('first')
    works.await('second')
    db.afterCommit(async () => {
      t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_NO_SCOPE' }, 'outside the scope')
      found.push(await labels(), await db.run(session => session.count(Item)))
    })
    reply.code(Number(status))
    return 'text'
  })
  app.post('/throws', async request => {
    await request.db.count(Item)
    works.await('thrown')
    throw new Error('thrown')
  })
  t.equal(await post(stage, '/201'), 201)
  t.same(await works.taken(), ['before the session committed', 'first committed', 'second committed'])
  t.equal(await post(stage, '/409'), 409)
  t.same(await works.taken(), ['before the session rolled back', 'first rolled back', 'second rolled back'])
  t.equal(await post(stage, '/throws'), 500)
  t.same(await works.taken(), ['thrown rolled back'])
  await app.close()
  t.same(found, [['201'], 1], 'app.close() has waited for it, and it has seen what was committed')
})

onEachDatabase('a commit that fails is a rollback', automatic, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  await db.run(session => { session.create(Item, { label: 'same' }) })
  app.post('/', async request => {
    works.await('request')
    request.db.create(Item, { label: 'same' })
    return 'text'
  })
  t.equal(await post(stage), 500)
  t.same(await works.taken(), ['request rolled back'])
  await t.rejects(db.run(session => {
    works.await('run')
    session.create(Item, { label: 'same' })
  }))
  t.same(await works.taken(), ['run rolled back'])
})

onEachDatabase('the reply is not delayed, and does not change', automatic, async (t, stage) => {
  const { app, logs } = stage
  const works = recorder()
  const go = new Gate()
  app.post('/', async request => {
    request.db.create(Item, { label: 'a' })
    db.afterCommit(async () => await go.opened)
    db.afterCommit(() => { throw new Error('synchronously') })
    db.afterCommit(async () => { throw new Error('asynchronously') })
    works.await('last')
    return 'text'
  })
  const { origin } = await stage.listen()
  const response = await fetch(origin, { method: 'POST' })
  t.same([response.status, await response.text()], [200, 'text'])
  t.same(await works.taken(), ['last committed'], 'neither an error nor one that hangs stops the others')
  const failures = logs.filter(line => line.msg === 'work after the outcome of a database scope failed')
  t.same(failures.map(({ err }) => (err as Error).message), ['synchronously', 'asynchronously'])
  t.ok(failures.every(line => line['reqId'] !== undefined), 'with the id of the request')
  let isClosed = false
  const closed = app.close().then(() => { isClosed = true })
  await works.taken()
  t.equal(isClosed, false)
  go.open()
  await closed
})

onEachDatabase('a scope without a session has an outcome, too', automatic, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    works.await(request.params.status)
    t.equal(app.db.hasSession(), false)
    t.equal(app.db.openScopes, 1)
    return await reply.code(Number(request.params.status)).send()
  })
  await post(stage, '/200')
  t.same(await works.taken(), ['200 committed'])
  await post(stage, '/400')
  t.same(await works.taken(), ['400 rolled back'])
  await db.run(async () => works.await('run'))
  t.same(await works.taken(), ['run committed'])
  await db.run(async () => {
    works.await('by hand')
    await db.commit()
    t.same(await works.taken(), ['by hand committed'])
  })
})

onEachDatabase('a scope without a session and without commitOnTeardown commits nothing by itself', manual, async (t, stage) => {
  const works = recorder()
  stage.app.post('/', async () => {
    works.await('request')
    return 'text'
  })
  await post(stage)
  t.same(await works.taken(), ['request rolled back'])
})

onEachDatabase('work after the rollback comes after it, however slow that is', automatic, async (t, stage) => {
  const { app, orm } = stage
  await app.ready()
  const order: string[] = []
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionRollback () { for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate) },
    async afterTransactionRollback () { order.push('rolled back') }
  })
  await t.rejects(db.run(async session => {
    await session.insert(Item, { label: 'never', amount: 0 })
    db.afterRollback(() => { order.push('work') })
    throw new Error('thrown')
  }), { message: 'thrown' })
  while (order.length < 2) await new Promise(setImmediate)
  t.same(order, ['rolled back', 'work'])
})

onEachDatabase('work after the rollback comes after it, although an error is answered while a statement still runs', { ...automatic, kinds: servers }, async (t, { app, orm, dialect }) => {
  const order: string[] = []
  orm.em.getEventManager().registerSubscriber({ async afterTransactionRollback () { order.push('rolled back') } })
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'never', amount: 0 })
    db.afterRollback(() => { order.push('work') })
    void request.db.execute(`select ${dialect.sleep(0.3)}`)
    await sleep(50)
    throw new Error('at once')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  order.push('answered')
  await app.close()
  t.same(order, ['answered', 'rolled back', 'work'])
})

onEachDatabase('other ways to end', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post('/hijacked', async (_request, reply) => {
    works.await('hijacked')
    reply.hijack()
    reply.raw.end('done')
  })
  const ended = new Gate()
  app.post('/left', async () => {
    works.await('left')
    client.leave()
    while (app.db.openScopes > 0) await new Promise(setImmediate)
    t.throws(() => works.await('too late'), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    ended.open()
  })
  const { origin, port } = await stage.listen()
  t.equal(await (await fetch(`${origin}/hijacked`, { method: 'POST' })).text(), 'done')
  await stage.assertClean()
  t.same(await works.taken(), ['hijacked committed'])
  const client = await rawClient(port, ['POST /left HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  await ended.opened
  t.same(await works.taken(), ['left rolled back'])
  t.throws(() => db.afterCommit(() => {}), { code: 'FST_SCOPED_DB_NO_SCOPE' })
})

onEachDatabase('nobody knows the outcome: neither is done, and the log says so', { ...automatic, kinds: servers }, async (t, stage) => {
  const works = recorder()
  const second = await createDatabase(stage.kind)
  const { app, orm, proxy } = await proxied(t, second, { commitOnTeardown: true })
  const logs: object[] = []
  app.log.error = (details: object) => { logs.push(details) }
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  await app.ready()
  await t.rejects(app.db.run(async session => {
    works.await('unknown', app.db)
    session.create(Item, { label: 'unknown' })
  }), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.same(await works.taken(), [])
  t.match(logs, [{ dropped: 2, err: { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' } }])
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await second.drop()
  })
  t.same(await stage.labels(), [])
})

onEachDatabase('app.close() waits for work after the outcome, and for what that begins, for closeTimeout', {}, async (t, { database, labels }) => {
  const logs: string[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { logs.push(line) } } } })
  await app.register(scopedDb, { orm: database.options, commitOnTeardown: true, closeTimeout: 300 })
  await app.ready()
  await app.db.run(async () => {
    app.db.afterCommit(async () => {
      await app.db.run(async session => {
        session.create(Item, { label: 'after' })
        app.db.afterCommit(async () => await new Promise(() => {}))
      })
    })
  })
  await app.close()
  t.same(await labels(), ['after'])
  t.match(logs.map(line => JSON.parse(line) as object), [{ msg: /still under way when closeTimeout was over/, afterWorks: 1, closeTimeout: 300 }])
})
