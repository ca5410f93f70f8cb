import { LockMode } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify from 'fastify'
import type { Pool, PoolConnection } from 'mysql2'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { postAndLeave, rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('readOnly refuses writes before they are sent', { plugin: { commitOnTeardown: true, readOnly: true } }, async (t, { app, labels, kind }) => {
  app.post('/insert', async request => request.db.create(Item, { label: 'a' }))
  app.post('/native', async request => await request.db.nativeDelete(Item, {}))
  app.post('/read', async request => await request.db.count(Item).then(String))
  app.get('/read', async request => await request.db.count(Item).then(String))
  app.post('/nested', async request => await request.db.transactional(async em => await em.count(Item)).then(String))
  app.post('/beside', async request => await request.db.transactional(async em => await em.nativeDelete(Item, {}), { propagation: 'requires_new' as never }))
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    await t.rejects(request.db.insert(Item, { label: 'b', amount: 0 }), { code: 'FST_SCOPED_DB_READ_ONLY' })
    request.db.create(Item, { label: 'a' })
    await request.db.flush()
  })
  app.post('/manual-doubtful', { config: { db: { commitOnTeardown: false } } }, async request => {
    t.equal(request.db.getKysely().isTransaction, false)
    await request.db.execute("select 'into the wild'")
    return 'ok'
  })
  app.post('/allowed', { config: { db: { readOnly: false } } }, async request => request.db.create(Item, { label: 'allowed' }))
  const refused = ['/insert', '/native', '/manual', ...(kind === 'mysql' ? ['/beside'] : [])]
  for (const url of refused) {
    const response = await app.inject({ method: 'POST', url })
    t.match(response.json(), { statusCode: 500, code: 'FST_SCOPED_DB_READ_ONLY', message: /read only/ }, url)
  }
  for (const url of ['/read', '/nested']) t.equal((await app.inject({ method: 'POST', url })).body, '0', url)
  t.equal((await app.inject('/read')).body, '0')
  t.equal((await app.inject({ method: 'POST', url: '/manual-doubtful' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/allowed' })).statusCode, 200)
  t.same(await labels(), ['allowed'])
})

onEachDatabase('in a read-only transaction the database judges what may write', { plugin: { commitOnTeardown: true, readOnly: true }, kinds: ['mysql'] }, async (t, { app, database, labels }) => {
  await database.witness.driver.execute("create function writes () returns int deterministic modifies sql data begin insert into item (label, amount) values ('hidden', 0); return 1; end")
  app.post('/', async request => {
    await request.db.execute("select 'into the wild'")
    await t.rejects(request.db.execute('select writes() from (select 1) one for update'), /read.only transaction/i)
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

onEachDatabase('a locking read needs a transaction, and has one', automatic, async (t, { app }) => {
  app.get('/', async request => await request.db.find(Item, {}, { lockMode: LockMode.PESSIMISTIC_WRITE }))
  app.get('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    await t.rejects(request.db.findOne(Item, { label: 'a' }, { lockMode: LockMode.PESSIMISTIC_WRITE }), /open transaction is required/)
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal((await app.inject('/manual')).statusCode, 200)
})

onEachDatabase('a connection that breaks when nobody waits for it any more', { kinds: ['mysql'] }, async (t, { database }) => {
  const printed = t.capture(console, 'error')
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const connected = once(silent, 'connection')
  const { port } = silent.address() as AddressInfo
  const orm = await database.connect({ clientUrl: `mysql://root@127.0.0.1:${port}`, ensureDatabase: false })
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'silent', acquireTimeout: 50 })
  app.get('/', async request => await request.db.count(Item))
  const response = await app.inject('/')
  t.match(response.json(), { statusCode: 503, code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
  t.equal(response.headers['retry-after'], '1')
  const [socket] = await connected as [Socket]
  socket.destroy()
  await sleep(50)
  await app.close()
  await orm.close()
  silent.close()
  t.same(printed.args(), [], 'Kysely has nothing to print')
})

onEachDatabase('waiting for a pooled connection ends in a 503, and the late connection goes back', {
  plugin: { commitOnTeardown: true, acquireTimeout: 500 }, orm: { pool: { max: 1 } }
}, async (t, { app, labels, assertClean }) => {
  const holding = new Gate()
  const go = new Gate()
  app.post('/hold', async request => {
    await request.db.insert(Item, { label: 'held', amount: 0 })
    holding.open()
    await go.opened
    return 'ok'
  })
  app.post('/begin', async request => request.db.create(Item, { label: 'waiting' }))
  app.get('/read', async request => await request.db.count(Item).then(String))
  app.get('/stream', async request => {
    for await (const item of request.db.stream(Item, {})) t.fail(item.label)
  })
  app.get('/nothing', async () => 'not stopped')
  const held = app.inject({ method: 'POST', url: '/hold' })
  await holding.opened
  for (const [method, url] of [['POST', '/begin'], ['GET', '/read'], ['GET', '/stream']] as const) {
    const response = await app.inject({ method, url })
    t.equal(response.statusCode, 503, url)
    t.equal(response.headers['retry-after'], '1')
    t.match(response.json(), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT', message: /500 ms/ })
  }
  t.equal((await app.inject('/nothing')).body, 'not stopped')
  go.open()
  t.equal((await held).statusCode, 200)
  await assertClean()
  t.equal((await app.inject('/read')).body, '1')
  t.same(await labels(), ['held'])
})

for (const [what, use] of Object.entries({
  'a statement': async (session: SqlEntityManager) => { await session.insert(Item, { label: 'late', amount: 0 }) },
  'a stream': async (session: SqlEntityManager) => {
    const read: unknown[] = []
    for await (const item of session.stream(Item, {})) read.push(item)
  }
})) {
  onEachDatabase(`${what} that still waits for a connection when its scope ends is never sent`, {
    plugin: { commitOnTeardown: false }, orm: { pool: { max: 1 } }
  }, async (t, { app, labels, assertClean }) => {
    const holding = new Gate()
    const go = new Gate()
    const outcome = new Gate<unknown>()
    app.post('/', { handlerTimeout: 30 }, async request => {
      await use(request.db).then(() => outcome.open('done'), (error: unknown) => outcome.open(error))
    })
    await app.ready()
    const held = db.run(async session => {
      await session.begin()
      await session.insert(Item, { label: 'held', amount: 0 })
      holding.open()
      await go.opened
      await session.commit()
    })
    await holding.opened
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 503)
    go.open()
    await held
    t.match(await outcome.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    await assertClean()
    t.same(await labels(), ['held'])
  })
}

for (const method of ['GET', 'POST'] as const) {
  onEachDatabase(`cancelOnAbort cancels what runs and rolls back (${method})`, { plugin: { commitOnTeardown: true, cancelOnAbort: true }, kinds: ['mysql'] }, async (t, stage) => {
    const { app, labels, listen, assertClean, database } = stage
    const failed = new Gate<unknown>()
    app.route({
      method,
      url: '/',
      async handler (request) {
        // A POST has begun its transaction by then; the read of a GET is outside.
        if (method === 'POST') await request.db.insert(Item, { label: 'inside', amount: 0 })
        await request.db.execute('select sleep(60)').then(() => failed.open('it ended by itself'), (error: unknown) => failed.open(error))
      }
    })
    const { port } = await listen()
    const client = await rawClient(port, [`${method} / HTTP/1.1`, 'Host: localhost', 'Content-Length: 0', '', ''])
    const running = async () => (await database.witness.driver.execute<unknown[]>("select 1 from information_schema.processlist where db = database() and info = 'select sleep(60)'")).length
    while (await running() === 0) await sleep(10)
    client.leave()
    t.not(await failed.opened, 'it ended by itself')
    await assertClean()
    t.equal(await running(), 0)
    t.same(await labels(), [])
  })
}

/** Repeats `attempt` until it fails. */
async function firstError (attempt: () => unknown): Promise<unknown> {
  try {
    for (;;) {
      await attempt()
      await sleep(10)
    }
  } catch (error) {
    return error
  }
}

onEachDatabase('cancelOnAbort where no statement runs', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, labels, listen, assertClean, logs }) => {
  const arrived = new Gate()
  const refused = new Gate<unknown>()
  app.post('/', async request => {
    const session = request.db
    await session.insert(Item, { label: 'inside', amount: 0 })
    arrived.open()
    refused.open(await firstError(() => session.flush()))
    return 'nobody listens'
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  t.match(await refused.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await assertClean()
  t.same(await labels(), [])
  t.same(logs.filter(({ level }) => level > 30), [], 'nobody is told, since nobody is there')
})

onEachDatabase('cancelOnAbort leaves a commit alone that is under way', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, orm, labels, listen, assertClean }) => {
  const arrived = new Gate()
  const gone = new Gate()
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionCommit () {
      arrived.open()
      await gone.opened
    }
  })
  app.post('/', async (request, reply) => {
    // Listeners are called in their order, and the plugin's is there with the session.
    await request.db.insert(Item, { label: 'committed', amount: 0 })
    reply.raw.once('close', () => { gone.open() })
    return 'ok'
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await gone.opened
  await assertClean()
  t.same(await labels(), ['committed'])
})

onEachDatabase('cancelOnAbort where the session was removed', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  const refused = new Gate<unknown>()
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'removed', amount: 0 })
    await db.remove()
    arrived.open()
    // Makes no session.
    refused.open(await firstError(() => db.commit()))
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  t.match(await refused.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await assertClean()
  t.same(await labels(), [])
})

onEachDatabase('a scope that ends while its transaction waits for a connection that never comes', { plugin: { commitOnTeardown: true, acquireTimeout: 300 }, orm: { pool: { max: 1 } } }, async (t, { app, labels, assertClean }) => {
  await app.ready()
  const holder = app.db.open({ commitOnTeardown: true })
  await holder.session.insert(Item, { label: 'held', amount: 0 })
  const waiting = app.db.open({ commitOnTeardown: true })
  const refused = t.rejects(waiting.session.insert(Item, { label: 'never', amount: 0 }), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
  // Until it waits.
  await new Promise(setImmediate)
  await waiting[Symbol.asyncDispose]()
  await refused
  await holder.commit()
  await holder[Symbol.asyncDispose]()
  await assertClean()
  t.same(await labels(), ['held'])
})

onEachDatabase('after a deadlock nothing more goes through, and the request cannot commit', { ...automatic, kinds: ['mysql'] }, async (t, { app, labels, database }) => {
  const em = database.witness.em.fork()
  for (const label of ['a', 'b']) em.create(Item, { label })
  await em.flush()
  const both = [new Gate(), new Gate()]
  const caught: unknown[] = []
  app.post('/:first/:second/:n', async request => {
    const { first, second, n } = request.params as Record<string, string>
    await request.db.nativeUpdate(Item, { label: first as string }, { amount: 1 })
    both[Number(n)]?.open()
    await Promise.all(both.map(gate => gate.opened))
    try {
      await request.db.nativeUpdate(Item, { label: second as string }, { amount: 1 })
    } catch (error) {
      caught.push(error)
      await t.rejects(request.db.insert(Item, { label: 'on its own', amount: 0 }), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
      return 'as if nothing had happened'
    }
    return 'ok'
  })
  const replies = await Promise.all([app.inject({ method: 'POST', url: '/a/b/0' }), app.inject({ method: 'POST', url: '/b/a/1' })])
  t.same(replies.map(reply => reply.statusCode).sort(), [200, 500])
  t.match(caught, [{ name: 'DeadlockException' }])
  t.same(await labels(), ['a', 'b'])
})

onEachDatabase('after SQLite has rolled back by itself nothing more goes through', { ...automatic, kinds: ['sqlite'] }, async (t, { app, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await t.rejects(request.db.execute("insert or rollback into item (label, amount) values ('a', 1)"), { name: 'UniqueConstraintViolationException' })
    await t.rejects(request.db.insert(Item, { label: 'on its own', amount: 0 }), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    return 'as if nothing had happened'
  })
  app.post('/goes-on', async request => {
    await request.db.insert(Item, { label: 'goes on', amount: 0 })
    await t.rejects(request.db.insert(Item, { label: 'goes on', amount: 0 }))
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(await labels(), [])
  t.equal((await app.inject({ method: 'POST', url: '/goes-on' })).statusCode, 200)
  t.same(await labels(), ['goes on'])
})

onEachDatabase('an ORM on a Kysely of the application\'s own', { ...automatic, kinds: ['sqlite'] }, async (t, { database, labels }) => {
  const owner = await database.connect()
  const orm = await database.connect({ driverOptions: owner.driver.getConnection().getClient() } as never)
  const { default: Fastify } = await import('fastify')
  const { default: scopedDb } = await import('../../plugin.ts')
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'own-kysely' })
  app.post('/', async request => {
    request.db.create(Item, { label: 'a' })
    await request.db.flush()
    await t.rejects(request.db.insert(Item, { label: 'a', amount: 0 }))
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['a'])
  await app.close()
  await orm.close()
})

onEachDatabase('a connection that dies in the transaction', { ...automatic, kinds: ['mysql'] }, async (t, { app, labels, database, assertClean }) => {
  const kill = async () => {
    const [{ id }] = await db.session.execute<[{ id: number }]>('select connection_id() as id')
    await database.witness.driver.execute(`kill ${id}`)
  }
  app.post('/statement', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await kill()
    return request.db.create(Item, { label: 'b' })
  })
  app.post('/commit', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await kill()
    return 'ok'
  })
  app.post('/rollback', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await kill()
    throw new Error('roll back')
  })
  for (const url of ['/statement', '/commit', '/rollback']) {
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 500, url)
    await assertClean()
  }
  t.same(await labels(), [])
})

onEachDatabase('a BEGIN that fails gives its connection back', { ...automatic, orm: { pool: { max: 1 } }, kinds: ['mysql'] }, async (t, { app, orm, labels }) => {
  app.post('/', async request => request.db.create(Item, { label: 'a' }))
  await app.ready()
  const pool = await orm.driver.getConnection().getNativeClient() as Pool
  await db.run(async session => await session.count(Item))
  const fail = (connection: PoolConnection) => {
    const { query } = connection
    connection.query = function (this: typeof connection, ...args: Parameters<typeof query>) {
      if (args[0] as unknown === 'begin') args[0] = 'begin nonsense' as never
      return query.apply(this, args)
    } as typeof query
  }
  await new Promise<void>((resolve, reject) => pool.getConnection((error, connection) => {
    if (error) return reject(error)
    fail(connection)
    connection.release()
    resolve()
  }))
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200, 'the place in the pool is free')
  t.same(await labels(), ['a'])
})

onEachDatabase('a commit while a query stream is open inside the transaction', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    for (const label of ['a', 'b']) request.db.create(Item, { label })
    await request.db.flush()
    const rows = request.db.stream(Item, {})
    await rows[Symbol.asyncIterator]().next()
    if (request.headers['x-read'] !== undefined) for await (const row of rows) t.ok(row)
    return 'ok'
  })
  const left = await app.inject({ method: 'POST', url: '/' })
  t.match(left.json(), { statusCode: 500, code: 'FST_SCOPED_DB_OPEN_STREAM' })
  t.same(await labels(), [])
  t.equal((await app.inject({ method: 'POST', url: '/', headers: { 'x-read': 'all' } })).statusCode, 200)
  t.same(await labels(), ['a', 'b'])
})

onEachDatabase('a query stream that its scope outruns is cut, not ended', automatic, async (t, { app, assertClean }) => {
  await app.ready()
  const rows = await db.run(async session => {
    for (const label of ['a', 'b', 'c']) await session.insert(Item, { label, amount: 0 })
    const rows = session.stream(Item, {})
    await rows.next()
    await db.rollback()
    return rows
  })
  await t.rejects(rows.next(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is closed\./ })
  await assertClean()
})

onEachDatabase('a query stream outside the transaction ends with its scope, too', { plugin: { commitOnTeardown: true, begin: 'write' } }, async (t, { app, orm, assertClean }) => {
  const em = orm.em.fork()
  for (const label of ['a', 'b', 'c']) await em.insert(Item, { label, amount: 0 })
  await app.ready()
  const rows = await db.run(async session => {
    const rows = session.stream(Item, {})
    await rows.next()
    return rows
  })
  await assertClean()
  await t.rejects(rows.next(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
})

onEachDatabase('a query stream that fails', automatic, async (t, { app }) => {
  app.post('/', async request => {
    const em = request.db
    for await (const row of em.getKysely<{ nowhere: object }>().selectFrom('nowhere').selectAll().stream()) t.fail(String(row))
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'A database error occurred' })
})

onEachDatabase('without commitOnTeardown reads still go to a replica', {
  plugin: { commitOnTeardown: false }, kinds: ['mysql']
}, async (t, { database }) => {
  const { default: Fastify } = await import('fastify')
  const { default: scopedDb } = await import('../../plugin.ts')
  const orm = await database.connect({ replicas: [{ dbName: 'mysql', name: 'replica' }] } as never)
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'replicated' })
  app.get('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await t.rejects(request.db.find(Item, {}, { connectionType: 'read' }), { name: 'TableNotFoundException' }, 'the replica here is empty')
    t.not(request.db.getConnection('read'), request.db.getConnection('write'))
    t.equal(await request.db.count(Item, {}, { connectionType: 'write' }), 1)
    await request.db.transactional(async em => { em.create(Item, { label: 'b' }) })
    await request.db.begin()
    await request.db.commit()
    return 'ok'
  })
  t.equal((await app.inject('/')).body, 'ok')
  await app.close()
  await orm.close()
})
