import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Pool as PgPool } from 'pg'
import { MikroORM } from '@mikro-orm/mysql'
import scopedDb, { type OpenScope, type ScopedDbOptions } from '../../plugin.ts'
import { post } from '../support/clients.ts'
import { availableKinds, servers } from '../support/databases.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { ROOT } from '../support/fences.ts'
import { startServer } from '../support/mariadb.ts'
import { running, untilRuns } from '../support/dialect.ts'
import { onEachDatabase, type LogLine } from '../support/on-each-database.ts'
import { startRelay } from '../support/relay.ts'
import { postgresqlUrl } from '../support/server-urls.ts'
import { Gate } from '../support/signals.ts'

const STILL_OPEN = 'database scopes were still open when closeTimeout was over, and are rolled back'
const CLOSED = { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }

/** An application whose closing is the test's own. */
async function closable (orm: ScopedDbOptions['orm'], closeTimeout = 200): Promise<{ app: FastifyInstance, logs: LogLine[] }> {
  const logs: LogLine[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { logs.push(JSON.parse(line) as LogLine) } } } })
  await app.register(scopedDb, { orm, name: 'closable', commitOnTeardown: true, closeTimeout })
  return { app, logs }
}

async function listen (app: FastifyInstance): Promise<number> {
  return Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
}

onEachDatabase('scopes that stay open when the application closes are rolled back when closeTimeout is over', {}, async (t, { database, labels }) => {
  const { app, logs } = await closable(database.options)
  const go = new Gate()
  const held = new Gate()
  const late = app.db.run(async session => {
    await session.insert(Item, { label: 'run', amount: 0 })
    held.open()
    await go.opened
    await session.insert(Item, { label: 'late', amount: 0 })
  })
  await held.opened
  const open: OpenScope = app.db.open()
  t.ok(open.session)
  app.get('/', async request => { await request.db.count(Item, {}).catch(() => {}); await go.opened })
  // An injected request is none that Fastify waits for.
  const inFlight = database.kind === 'mysql' ? app.inject('/') : undefined
  while (app.db.openScopes < (inFlight === undefined ? 2 : 3)) await sleep(5)
  const { orm } = app.db
  await app.close()
  t.equal(app.db.openScopes, 0)
  t.equal(app.db.isClosed, true)
  t.equal(await orm.isConnected(), false)
  const lines = logs.filter(line => line.msg === STILL_OPEN)
  t.match(lines, [{ level: 50, closeTimeout: 200, openScopes: { requests: inFlight === undefined ? 0 : 1, 'db.run': 1, 'db.open': 1 } }])
  go.open()
  await t.rejects(late, CLOSED)
  t.throws(() => open.session, CLOSED)
  await inFlight
  await t.rejects(app.db.run(async () => t.fail('it is closed')), { ...CLOSED, message: /application is closed/ })
  t.same(await labels(), [])
})

onEachDatabase('when closeTimeout is over there is no new session, although scopes still roll back', {}, async (t, { database }) => {
  const { app } = await closable(database.options, 50)
  await app.ready()
  const rolling = new Gate()
  const go = new Gate()
  app.db.orm.em.getEventManager().registerSubscriber({
    async beforeTransactionRollback () {
      rolling.open()
      await go.opened
    }
  })
  const scope = app.db.open({ commitOnTeardown: true })
  await scope.session.insert(Item, { label: 'open', amount: 0 })
  const closing = app.close()
  await rolling.opened
  t.equal(app.db.isClosed, true)
  await t.rejects(app.db.run(async () => t.fail('it is closed')), { ...CLOSED, message: /application is closed/ })
  go.open()
  await closing
})

onEachDatabase('the longest closeTimeout counts', {}, async (t, { database, orm, labels }) => {
  const { app, logs } = await closable(database.options, 1)
  await app.register(scopedDb, { orm, name: 'patient', closeTimeout: 60_000 })
  const go = new Gate()
  app.addHook('preClose', async () => {
    setTimeout(() => { go.open() }, 50)
  })
  await app.ready()
  const job = app.db.use('closable').run(async session => {
    await go.opened
    session.create(Item, { label: 'job' })
  })
  await app.close()
  await job
  t.same(await labels(), ['job'])
  t.notOk(logs.some(line => line.msg === STILL_OPEN))
})

onEachDatabase('requests and jobs that end before closeTimeout complete as usual', {}, async (t, { database, labels }) => {
  const { app, logs } = await closable(database.options, 60_000)
  const arrived = new Gate()
  const closing = new Gate()
  app.addHook('preClose', async () => { closing.open() })
  app.post('/', async request => {
    arrived.open()
    await closing.opened
    return request.db.create(Item, { label: 'request' })
  })
  const port = await listen(app)
  const client = await post(port, '/')
  await arrived.opened
  const job = app.db.run(async session => {
    await closing.opened
    session.create(Item, { label: 'job' })
  })
  await app.close()
  await job
  await client.until('HTTP/1.1 200 ')
  t.same(await labels(), ['job', 'request'])
  t.notOk(logs.some(line => line.msg === STILL_OPEN))
})

onEachDatabase('a request that goes on after it was rolled back does not answer as if it were committed', {}, async (t, { database, labels }) => {
  const { app } = await closable(database.options)
  const arrived = new Gate()
  const go = new Gate()
  app.setErrorHandler<FastifyError>((error, _request, reply) => reply.send({ handled: error.code }))
  app.post('/', { config: { db: { commitOnTeardown: () => true } } }, async (request, reply) => {
    request.db.create(Item, { label: 'rolled back' })
    arrived.open()
    await go.opened
    return reply.code(201).send({ id: 1 })
  })
  const client = await post(await listen(app), '/')
  await arrived.opened
  const closed = app.close()
  while (app.db.openScopes > 0) await sleep(5)
  go.open()
  await client.until('{"handled":"FST_SCOPED_DB_SCOPE_CLOSED"}')
  t.match(client.received(), /^HTTP\/1.1 500 /)
  await closed
  t.same(await labels(), [])
})

onEachDatabase('what lost nothing by being ended answers', {}, async (t, { database, labels }) => {
  const { app } = await closable(database.options)
  const arrived = { manual: new Gate(), doomed: new Gate(), unused: new Gate() }
  const go = new Gate()
  const wait = async (name: keyof typeof arrived) => {
    arrived[name].open()
    await go.opened
    return { name }
  }
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    request.db.create(Item, { label: 'flushed' })
    await request.db.flush()
    return await wait('manual')
  })
  app.post('/doomed', async request => {
    request.db.create(Item, { label: 'doomed' })
    app.db.setRollbackOnly()
    return await wait('doomed')
  })
  app.post('/unused', async () => await wait('unused'))
  const port = await listen(app)
  const clients = [await post(port, '/manual'), await post(port, '/doomed'), await post(port, '/unused')]
  const run = app.db.run(async session => {
    session.create(Item, { label: 'doomed' })
    app.db.setRollbackOnly()
    await go.opened
    return 'run'
  })
  const open = app.db.open()
  await Promise.all(Object.values(arrived).map(gate => gate.opened))
  const closed = app.close()
  while (app.db.openScopes > 0) await sleep(5)
  go.open()
  await t.rejects(open.commit(), CLOSED)
  for (const client of clients) await client.until('HTTP/1.1 200 ')
  t.equal(await run, 'run')
  await closed
  t.same(await labels(), ['flushed'])
})

onEachDatabase('db.run() that goes on after it was rolled back rejects', {}, async (t, { database, labels }) => {
  const { app } = await closable(database.options)
  const go = new Gate()
  const run = app.db.run(async session => {
    session.create(Item, { label: 'rolled back' })
    await go.opened
  })
  await app.close()
  go.open()
  await t.rejects(run, CLOSED)
  t.same(await labels(), [])
})

onEachDatabase('a request in flight whose statement runs on is answered 500, and the application closes', { kinds: servers }, async (t, { database, labels, dialect }) => {
  const { app } = await closable(database.options)
  const text = `select ${dialect.sleep(61)}`
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'slow', amount: 0 })
    await request.db.execute(text)
  })
  const port = await listen(app)
  const client = await post(port, '/')
  await untilRuns(database, text)
  await app.close()
  await client.until('HTTP/1.1 500 ')
  while ((await running(database, text)).length > 0) await sleep(10)
  t.same(await labels(), [])
})

onEachDatabase('a reply whose stream never begins is rolled back', {}, async (t, { database, labels }) => {
  const { app } = await closable(database.options)
  const sent = new Gate()
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'stream', amount: 0 })
    return new Readable({ read () { sent.open() } })
  })
  const port = await listen(app)
  const client = await post(port, '/')
  await sent.opened
  await app.close()
  await client.until('HTTP/1.1 500 ')
  t.same(await labels(), [])
})

void t.test('closing leaves no timer behind', async t => {
  const script = `
    import Fastify from 'fastify'
    import { SqliteDriver } from '@mikro-orm/sqlite'
    import scopedDb from './plugin.ts'
    const app = Fastify()
    await app.register(scopedDb, { orm: { driver: SqliteDriver, dbName: ':memory:', entities: [], discovery: { warnWhenNoEntities: false } }, closeTimeout: 2 ** 31 - 1 })
    await app.db.run(async session => await session.execute('select 1'))
    await app.close()
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { cwd: ROOT, stdio: 'inherit' })
  t.same(await once(child, 'exit'), [0, null])
})

void t.test('a frozen server does not hold up the end', { skip: availableKinds().includes('mysql') ? false : 'no server' }, async t => {
  const server = await startServer()
  if (server === undefined) { t.pass('the tests run on a server of somebody else'); return }
  t.teardown(async () => {
    server.process.kill('SIGCONT')
    await server.stop()
  })
  const options = { entities: [Item, Part], clientUrl: server.url, dbName: 'frozen' }
  const witness = await MikroORM.init(options)
  await witness.schema.create()
  const { app, logs } = await closable({ ...options, driver: witness.config.get('driver') } as never)
  const arrived = { commit: new Gate(), statement: new Gate(), stream: new Gate(), beside: new Gate() }
  const frozen = new Gate()
  const committing = new Gate()
  app.db.orm.em.getEventManager().registerSubscriber({ beforeTransactionCommit () { committing.open() } })
  const insert = async (label: keyof typeof arrived) => {
    await app.db.session.insert(Item, { label, amount: 0 })
    arrived[label].open()
    await frozen.opened
  }
  app.post('/statement', async request => { await insert('statement'); await request.db.execute('select 1') })
  app.post('/commit', async () => { await insert('commit') })
  const port = await listen(app)
  const clients = [await post(port, '/statement'), await post(port, '/commit')]
  const streaming = app.db.run(async session => {
    await insert('stream')
    for await (const item of session.stream(Item, {})) t.fail(item.label)
  })
  const outside = app.db.run(async () => {
    await insert('beside')
    // Nothing of this package: only the ORM's own closing waits for it.
    await app.db.orm.em.fork({ useContext: false, disableContextResolution: true }).getConnection().execute('select 2')
  })
  const ended = Promise.allSettled([streaming, outside])
  await Promise.all(Object.values(arrived).map(gate => gate.opened))
  try {
    server.process.kill('SIGSTOP')
    frozen.open()
    await committing.opened
    await sleep(50)
    await app.close()
    await clients[0]?.until('HTTP/1.1 500 ')
    await clients[1]?.until('FST_SCOPED_DB_COMMIT_UNKNOWN')
    t.match(logs.filter(line => line.msg === STILL_OPEN), [{ openScopes: { requests: 2, 'db.run': 2, 'db.open': 0 } }])
    t.ok(logs.some(line => line.msg.startsWith('the ORM was not closed within closeTimeout')))
    t.equal(app.db.openScopes, 0)
  } finally {
    server.process.kill('SIGCONT')
  }
  t.match(await ended, [{ status: 'rejected', reason: CLOSED }, { status: 'rejected' }])
  const items = async () => (await witness.em.fork().find(Item, {})).map(item => item.label)
  t.same((await items()).filter(label => label !== 'commit'), [])
  await witness.close()
})

onEachDatabase('the application is closed when a connection that came too late is back', { kinds: ['postgresql'] }, async (t, { database }) => {
  const go = new Gate()
  let first: Socket | undefined
  const relay = await startRelay(String(postgresqlUrl()), (client, upstream) => {
    client.pipe(upstream)
    if (first === undefined) upstream.pipe(client)
    else void go.opened.then(() => upstream.pipe(client))
    first ??= client
  })
  t.teardown(() => relay.stop())
  const orm = await database.connect({ clientUrl: relay.url, ensureDatabase: false })
  await orm.connect()
  await orm.driver.execute('select 1')
  const removed = once(await orm.driver.getConnection().getNativeClient() as PgPool, 'remove')
  first?.destroy()
  await removed
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'closable', acquireTimeout: 100, commitOnTeardown: true })
  app.get('/', async request => { await request.db.insert(Item, { label: 'a', amount: 0 }) })
  t.equal((await app.inject('/')).statusCode, 503)
  const closed = app.close()
  setImmediate(() => go.open())
  await closed
  // Waits for what the pool has given.
  await orm.close()
})
