/** Spans and metrics, with OpenTelemetry's own SDK. */
import { TransactionPropagation } from '@mikro-orm/core'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { ScopedDbInstrumentation } from '../../opentelemetry.ts'
import { servers } from '../support/databases.ts'
import { otherDriver } from '../support/drivers.ts'
import { rewrite } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { context, telemetry, trace } from '../support/opentelemetry.ts'
import { deadlock } from '../support/retries.ts'
import { eventsOf } from '../support/traces.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const insert = { label: 'a', amount: 0 }
const OUTCOME = 'fastify_scoped_db.outcome'
const REASON = 'fastify_scoped_db.reason'

onEachDatabase('a transaction, the wait for its connection, and its statements', automatic, async (t, { app, database, kind, assertClean }) => {
  const { spans, total } = telemetry(t)
  app.post('/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    await request.db.insert(Item, { label: status, amount: 4711 })
    return await reply.code(Number(status)).send('ok')
  })
  const target = { 'db.system.name': otherDriver() === 'mariadb' ? 'mariadb' : kind, 'db.namespace': database.options.dbName }
  for (const [status, outcome] of [[200, 'commit'], [409, 'rollback']] as const) {
    t.equal((await app.inject({ method: 'POST', url: `/${status}` })).statusCode, status)
    await assertClean()
    const all = spans()
    const find = (name: RegExp) => all.find(span => name.test(span.name))
    t.match(find(/^transaction$/), { attributes: { ...target, [OUTCOME]: outcome, [REASON]: `status ${status}`, 'fastify_scoped_db.read_only': false }, failed: false })
    t.match(find(/^wait for connection$/), { attributes: { ...target, 'db.client.connection.pool.name': 'default' }, failed: false })
    t.match(find(/^insert item$/), { attributes: { ...target, 'db.query.summary': 'insert item', 'db.query.text': /^insert into .*item.* \((\?|\$1), / }, parent: 'transaction', failed: false })
    t.match(find(new RegExp(`^${outcome}$`)), { attributes: { 'db.query.text': outcome }, parent: 'transaction' })
    t.notMatch(JSON.stringify(all), '4711', 'no values')
    t.notMatch(JSON.stringify(all), 'db.query.parameter')
  }
  t.equal(await total('db.client.operation.duration', { 'db.query.summary': 'insert item', 'db.namespace': database.options.dbName }), 2)
  t.same([await total('fastify_scoped_db.transactions', { [OUTCOME]: 'commit' }), await total('fastify_scoped_db.transactions', { [OUTCOME]: 'rollback' })], [1, 1])
  t.equal(await total('fastify_scoped_db.scopes', { [OUTCOME]: 'rollback', [REASON]: 'status 409', 'fastify_scoped_db.scope': 'request' }), 1)
})

onEachDatabase('connections', automatic, async (t, { app, assertClean }) => {
  const { total } = telemetry(t)
  const pool = { 'db.client.connection.pool.name': 'default' }
  const used = { ...pool, 'db.client.connection.state': 'used' }
  await app.db.run(async session => {
    await session.insert(Item, insert)
    t.same([await total('db.client.connection.count', used), await total('db.client.connection.pending_requests', pool)], [1, 0])
  })
  await assertClean()
  t.same([await total('db.client.connection.count', used), await total('db.client.connection.wait_time', pool), await total('db.client.connection.use_time', pool)], [0, 1, 1])
})

onEachDatabase('a connection that does not come', { plugin: { commitOnTeardown: true, acquireTimeout: 50 }, orm: { pool: { max: 1 } }, kinds: servers }, async (t, { app }) => {
  const { spans, total } = telemetry(t)
  await app.db.run(async session => {
    await session.insert(Item, insert)
    spans()
    await t.rejects(app.db.run(async session => await session.count(Item), { commitOnTeardown: false }), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
    t.match(spans(), [{ name: 'wait for connection', attributes: { 'error.type': 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' }, failed: true }])
    t.same([await total('db.client.connection.timeouts'), await total('db.client.connection.pending_requests'), await total('db.client.connection.count')], [1, 0, 1])
  })
})

onEachDatabase('what fails', automatic, async (t, { app, kind }) => {
  const { spans } = telemetry(t)
  await t.rejects(app.db.run(async session => {
    await session.insert(Item, { label: 'secret', amount: 0 })
    await session.insert(Item, { label: 'secret', amount: 0 })
  }))
  const code = { mysql: '1062', postgresql: '23505', sqlite: /2067|SQLITE_CONSTRAINT/ }[kind]
  const all = spans()
  t.match(all.filter(({ name }) => name === 'insert item'), [{ failed: false }, { failed: true, attributes: { 'error.type': code, 'db.response.status_code': code } }])
  t.match(all.find(({ name }) => name === 'transaction'), { failed: false, attributes: { [OUTCOME]: 'rollback', [REASON]: 'db.run() has thrown' } })
  t.notMatch(JSON.stringify(all), 'secret', 'what a database says may hold values')
})

onEachDatabase('a commit that fails', { ...automatic, kinds: ['sqlite', 'postgresql'] }, async (t, { app, orm, kind }) => {
  const { spans } = telemetry(t)
  await orm.driver.execute(`create table child (id ${kind === 'sqlite' ? 'integer' : 'serial'} primary key, item_id integer references item (id) deferrable initially deferred)`)
  await t.rejects(app.db.run(async session => { await session.execute('insert into child (item_id) values (4711)') }))
  const all = spans()
  t.match(all.find(({ name }) => name === 'transaction'), { failed: true, attributes: { [OUTCOME]: 'rollback', [REASON]: 'its commit has failed', 'error.type': String } })
  t.match(all.find(({ name }) => name === 'insert child'), { attributes: { 'db.query.text': 'insert into child (item_id) values (?)' } }, 'literals of the application are no parameters')
})

onEachDatabase('what a transaction is told at its BEGIN', { ...automatic, kinds: servers }, async (t, { app }) => {
  const { spans } = telemetry(t)
  await app.db.run(async session => { await session.count(Item) }, { readOnly: true, isolationLevel: 'serializable' as never })
  t.match(spans().find(({ name }) => name === 'transaction'), { attributes: { 'fastify_scoped_db.read_only': true, 'fastify_scoped_db.isolation_level': 'serializable' } })
})

onEachDatabase('one that never begins has no outcome', { ...automatic, kinds: servers }, async (t, { app, orm }) => {
  const { spans, total } = telemetry(t)
  await rewrite(orm, sql => /^(begin|start)/.test(sql) ? 'nonsense' : sql)
  await t.rejects(app.db.run(async session => { await session.insert(Item, insert) }, { beginWithFirst: false }))
  const transaction = spans().find(({ name }) => name === 'transaction')
  t.match(transaction, { failed: true })
  t.notOk(OUTCOME in (transaction?.attributes ?? {}))
  t.equal(await total('fastify_scoped_db.transactions'), 1)
})

onEachDatabase('values, where they are asked for', automatic, async (t, { app }) => {
  const { spans, instrumentation } = telemetry(t, { parameters: true, queryText: 'none' })
  const find = async () => {
    await app.db.run(async session => { await session.find(Item, { label: 'secret', amount: { $in: [7] } }) })
    return spans().find(({ name }) => name === 'select item')?.attributes ?? {}
  }
  t.match(await find(), { 'db.query.parameter.0': 'secret', 'db.query.parameter.1': '7', 'db.query.text': undefined })
  t.equal(instrumentation.getConfig().queryText, 'none')
  instrumentation.setConfig({ queryText: 'raw' })
  const raw = async (sql: string) => {
    await app.db.run(async session => { await session.execute(sql) })
    return spans().find(({ name }) => name === 'select item')?.attributes
  }
  t.match(await raw("select 'a' from item"), { 'db.query.text': "select 'a' from item" })
  instrumentation.setConfig({})
  t.match(await raw("select 'a' from item"), { 'db.query.text': 'select ? from item' })
})

onEachDatabase('statements that somebody else makes spans of', automatic, async (t, { app }) => {
  const { spans, total } = telemetry(t, { statements: false })
  await app.db.run(async session => { await session.insert(Item, insert) })
  t.same(spans().map(({ name }) => name).sort(), ['transaction', 'wait for connection'])
  t.equal(await total('db.client.operation.duration'), undefined)
})

onEachDatabase('they are in the span of the code that asks', automatic, async (t, { app, assertClean }) => {
  const { spans, tracer, tracers } = telemetry(t)
  const root = tracers.getTracer('test').startSpan('request')
  let isKnown = true
  app.decorateRequest('opentelemetry', (() => ({ context: isKnown ? trace.setSpan(context.active(), root) : null })) as never)
  app.post('/', async request => {
    await tracer.startActiveSpan('mine', async span => {
      await request.db.insert(Item, { label: `${request.id}`, amount: 0 })
      span.end()
    })
    await request.db.count(Item)
    return 'ok'
  })
  await app.inject({ method: 'POST', url: '/' })
  await assertClean()
  root.end()
  const parents = () => Object.fromEntries(spans().map(({ name, parent }) => [name, parent]))
  t.match(parents(), { mine: undefined, 'insert item': 'mine', 'wait for connection': 'mine', transaction: 'request', 'select item': 'request', commit: 'request' })
  isKnown = false
  await app.inject({ method: 'POST', url: '/' })
  await assertClean()
  t.match(parents(), { mine: undefined, 'insert item': 'mine', transaction: 'mine', 'select item': 'transaction', commit: 'transaction' }, 'without @fastify/otel')
})

onEachDatabase('what comes after a transaction inside another is in the outer one again', { ...automatic, kinds: servers }, async (t, { app }) => {
  const { spans } = telemetry(t)
  await app.db.run(async session => {
    await session.insert(Item, insert)
    await session.transactional(async em => await em.insert(Item, { ...insert, label: 'beside' }), { propagation: TransactionPropagation.REQUIRES_NEW })
    await session.nativeUpdate(Item, {}, { amount: 2 })
  })
  const parents = spans().filter(({ name }) => ['update item', 'commit'].includes(name)).map(({ name, parent }) => `${name} in ${parent}`)
  t.same(parents, ['commit in transaction', 'update item in transaction', 'commit in transaction'])
})

onEachDatabase('a literal beside a placeholder is a literal', automatic, async (t, { app }) => {
  const { spans } = telemetry(t)
  await app.db.run(async session => await session.execute("select id from item where label = 'secret' and amount = ?", [1]))
  t.notMatch(JSON.stringify(spans()), 'secret')
})

onEachDatabase('another decorator of that name is not asked', automatic, async (t, { app }) => {
  const { spans } = telemetry(t)
  app.decorateRequest('opentelemetry', 'none')
  app.get('/', async request => await request.db.count(Item).then(String))
  t.equal((await app.inject('/')).statusCode, 200)
  t.match(spans().at(-1), { name: 'select item' })
})

onEachDatabase('retries', automatic, async (t, { app }) => {
  const { total } = telemetry(t)
  let attempt = 0
  await app.db.run(async session => {
    await session.insert(Item, insert)
    if (++attempt < 3) throw deadlock()
  }, { retry: { attempts: 3, backoff: 1 } })
  t.equal(await total('fastify_scoped_db.retries', { 'fastify_scoped_db.scope': 'db.run' }), 2)
})

onEachDatabase('it begins and ends in the midst of things', { plugin: { commitOnTeardown: true, echo: true }, fastify: { logger: false } }, async (t, { app }) => {
  const { spans, total, instrumentation } = telemetry(t)
  eventsOf(t, 'connection')
  eventsOf(t, 'transaction')
  eventsOf(t, 'scope')
  instrumentation.disable()
  await app.db.run(async session => {
    await session.insert(Item, insert)
    instrumentation.enable()
  })
  t.match(spans().map(({ name }) => name), ['commit'])
  t.same([await total('db.client.connection.count'), await total('db.client.connection.pending_requests')], [undefined, undefined])
  t.match(await total('fastify_scoped_db.transactions'), 1)
})

void t.test('it is of the version of the package, and listens from the start', async t => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  const instrumentation = new ScopedDbInstrumentation()
  t.match(instrumentation, { instrumentationName: 'fastify-scoped-db', instrumentationVersion: version })
  t.equal(instrumentation.getConfig().enabled, true)
  instrumentation.disable()
})
