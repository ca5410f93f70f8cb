/** Runs every TypeScript example of the documentation with real requests: what the text says of it must be what happens. */
import { RequestContext, UniqueConstraintViolationException, type MikroORM } from '@mikro-orm/core'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ScopedDbInstrumentation } from '../../opentelemetry.ts'
import { db } from '../../plugin.ts'
import { createDatabase } from '../support/databases.ts'
import { check, typeErrors, type Example } from '../support/doc-modules.ts'
import { fencesOf, PAGES } from '../support/fences.ts'
import { preparedTexts } from '../support/prepared-texts.ts'
import { postgresqlUrl } from '../support/server-urls.ts'

const fences = PAGES.flatMap(fencesOf)
/** Those for test runners are in example-runners.test.ts, what is pasted into a shell is in quick-start.test.ts, and what needs more packages in recipes/. */
const examples = fences.filter(({ language, info, needs }) => language === 'ts' && needs === undefined && !/\b(runner|recipe)=/.test(info))
const ada = { name: 'Ada', email: 'ada@example.com' }

const post = async (app: FastifyInstance, url: string, payload?: object, headers = {}) =>
  await app.inject({ method: 'POST', url, headers, ...(payload !== undefined && { payload }) })

/** The e-mail addresses in the database, in alphabetical order. */
async function emails (orm: MikroORM): Promise<string[]> {
  const rows = await orm.em.fork().getConnection().execute('select email from user order by email') as { email: string }[]
  return rows.map(({ email }) => email)
}

const addAda = async ({ app }: Example) => await app.db.run(session => { session.create('User' as never, ada as never) }, { commitOnTeardown: true })

/** What the documentation says of each example, by its name. */
const claims: Record<string, (t: Test, example: Example) => Promise<void>> = {
  async 'late-hook' (t, { app, orm }) {
    t.equal((await post(app, '/late', {}, { 'x-maintenance': 'yes' })).statusCode, 503)
    t.same(await emails(orm), [])
    t.equal((await post(app, '/late')).statusCode, 200)
    t.same(await emails(orm), ['late@example.com'])
  },
  async caught (t, { app, orm }) {
    t.equal((await post(app, '/caught', ada)).statusCode, 409)
    t.same(await emails(orm), [])
  },
  async stream (t, example) {
    await addAda(example)
    t.equal((await example.app.inject('/names')).body, 'Ada\n')
  },
  async hijack (t, { app, orm }) {
    t.equal((await post(app, '/hijacked')).body, 'done')
    t.same(await emails(orm), ['hijacked@example.com'])
  },
  async outlives (t, { app, orm }) {
    t.equal((await post(app, '/signup')).statusCode, 200)
    while (app.db.openScopes > 0) await sleep(5)
    t.same(await emails(orm), ['job@example.com', 'signup@example.com'])
  },
  async savepoint (t, { app, orm }) {
    const [first, second] = [await post(app, '/find-or-create', ada), await post(app, '/find-or-create', ada)]
    t.same([first.statusCode, second.statusCode], [200, 200])
    t.same(second.json(), first.json(), 'found')
    t.same(await emails(orm), ['ada@example.com'])
  },
  async manual (t, { app, orm, logs }) {
    t.equal((await post(app, '/flushed')).statusCode, 200)
    t.same(await emails(orm), ['flushed@example.com'])
    t.match(logs, { length: 1 })
    t.match(JSON.parse(logs[0] ?? ''), { unflushed: { User: 1 } })
  },
  async 'orm-options' (t, { app, orm }) {
    t.not(app.db.orm, orm)
    await app.db.run(async session => t.equal(await session.count('User' as never), 0))
    await app.close()
    t.equal(await app.db.orm.isConnected(), false, 'closed by the plugin')
    t.equal(await orm.isConnected(), true)
  },
  async name (t, { app }) {
    t.equal(app.db.name, 'accounts')
  },
  async 'commit-rule' (t, { app, orm }) {
    app.post('/:status', async (request, reply) => {
      const { status } = request.params as { status: string }
      request.db.create('User' as never, { name: status, email: status } as never)
      return await reply.code(Number(status)).send({})
    })
    for (const status of [200, 401, 403]) await post(app, `/${status}`)
    t.same(await emails(orm), ['200', '401'])
  },
  async 'session-options' (t, { app }) {
    app.get('/', async request => request.db.schema)
    t.equal((await app.inject({ url: '/', headers: { 'x-tenant': 'acme' } })).body, 'acme')
    await app.db.run(session => t.equal(session.schema, undefined))
  },
  async begin (t, { app, orm }) {
    let begun = 0
    orm.em.getEventManager().registerSubscriber({ async afterTransactionStart () { begun++ } })
    t.same((await post(app, '/search')).json(), [])
    t.equal(begun, 0)
  },
  async 'isolation-level' (t, { app }) {
    t.equal((await post(app, '/report')).body, '0')
  },
  async 'read-only' (t, { app }) {
    t.same((await app.inject('/users')).json(), [])
  },
  async 'cancel-on-abort' (t, { app }) {
    t.same((await app.inject('/slow')).json(), [])
  },
  async databases (t, { app, orm }) {
    t.equal((await post(app, '/users', ada)).statusCode, 200)
    const visits = async () => await app.db.run(async () => await app.db.use('analytics').session.count('Visit' as never))
    t.same([await emails(orm), await visits()], [['ada@example.com'], 1])
    t.equal((await post(app, '/users', ada)).statusCode, 500)
    t.same([await emails(orm), await visits()], [['ada@example.com'], 1], 'neither')
  },
  async 'database-options' (t, { app }) {
    t.equal((await app.inject('/report')).body, '0')
  },
  async use (t, { app }) {
    t.equal((await app.inject('/total')).body, '0')
  },
  async echo (t, { app, logs }) {
    t.equal((await app.inject('/users')).statusCode, 200)
    const line = JSON.parse(logs.find(line => line.includes('select')) ?? '{}') as object
    t.match(line, { level: 40, reqId: 'req-1', database: 'default', rows: 0, milliseconds: Number, msg: 'select `u0`.* from `user` as `u0`' })
  },
  async 'echo-option' (t, { app, logs }) {
    await app.db.run(async session => await session.execute('select 1'))
    t.same(logs, [], 'it did not take long')
  },
  async 'warnings-option' (t, { app, logs }) {
    const count = async (times: number) => await app.db.run(async session => { for (let n = 0; n < times; n++) await session.count('User' as never) })
    await count(3)
    t.same(logs, [])
    await count(4)
    t.match(logs, [/the same SELECT/])
  },
  async tags (t, { app, orm }) {
    const sent = await preparedTexts(orm)
    t.equal((await app.inject('/users/1')).statusCode, 200)
    t.match(sent, ["select `u0`.* from `user` as `u0` where `u0`.`id` = 1 limit 1 /*method='GET',route='%2Fusers%2F%3Aid'*/"])
  },
  async 'tags-option' (t, { app, orm }) {
    app.get('/count', async request => await request.db.count('User' as never).then(String))
    const sent = await preparedTexts(orm)
    await app.inject('/count')
    t.match(sent, [/ \/\*route='%2Fcount'\*\/$/])
  },
  async 'record-option' (t, { app }) {
    await app.db.run(async session => {
      await session.execute('select 1')
      t.match(app.db.statements.at(-1), { sql: 'select 1', rows: 1 })
    })
  },
  async recorded (t, example) {
    await addAda(example)
    t.equal((await example.app.inject('/users')).statusCode, 200)
    t.match(example['seen'], [/^select .*, 1 rows, from .*\/recorded\.ts:\d+:\d+$/])
  },
  async 'record-statements' (t, example) {
    t.match(example['seen'], { length: 3, result: { statusCode: 200 }, repeated: [{ count: 3, places: [/record-statements\.ts:\d+:\d+$/] }] })
  },
  async warnings (t, { app, logs }) {
    t.equal((await app.inject('/by-email')).statusCode, 200)
    while (app.db.openScopes > 0) await sleep(5)
    t.match(logs.map(line => JSON.parse(line) as object), [{ level: 40, reqId: /./, database: 'default', route: '/by-email', count: 3, place: /warnings\.ts:\d+:\d+$/, statement: 'select `u0`.* from `user` as `u0` where `u0`.`email` = ? limit ?', msg: /^the same SELECT was sent again and again \(N\+1\): load all at once, with populate or MikroORM's dataloader$/ }])
  },
  async inspector (t, { app }) {
    await app.inject('/nowhere')
    t.match((await app.inject('/_db/requests.json')).json(), [{ request: { url: '/nowhere' }, status: 404 }])
  },
  async 'inspector-allow' (t, { app }) {
    const { INSPECTOR_KEY } = process.env
    t.teardown(() => { if (INSPECTOR_KEY === undefined) delete process.env['INSPECTOR_KEY']; else process.env['INSPECTOR_KEY'] = INSPECTOR_KEY })
    process.env['INSPECTOR_KEY'] = 'secret'
    t.equal((await app.inject('/_db/')).statusCode, 403)
    t.equal((await app.inject({ url: '/_db/', headers: { 'x-inspector-key': 'secret' } })).statusCode, 200)
  },
  async 'statement-channel' (t, example) {
    await addAda(example)
    const told = example['told'] as string[]
    told.length = 0
    t.match((await example.app.inject('/users')).json(), [ada])
    t.match(told, [/^\/users: select .*, 1 rows$/])
  },
  async 'scope-channel' (t, { app, orm, ended }) {
    t.equal((await post(app, '/users')).statusCode, 409)
    while (app.db.openScopes > 0) await sleep(5)
    t.same(ended, ['/users: rollback, status 409'])
    t.same(await emails(orm), [])
  },
  async opentelemetry (t, { app, instrumentation }) {
    t.teardown(() => { (instrumentation as ScopedDbInstrumentation).disable() })
    const exporter = new InMemorySpanExporter()
    ;(instrumentation as ScopedDbInstrumentation).setTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }))
    await app.db.run(async session => await session.count('User' as never))
    t.match(exporter.getFinishedSpans().map(({ name }) => name).join(), /\bselect user\b/)
  },
  async stats (t, example) {
    await addAda(example)
    t.same((await example.app.inject('/stats')).json(), { openScopes: 0, retries: 0, connections: { used: 0, waiting: 0 }, statements: 3, transactions: { committed: 1, rolledBack: 0, unknown: 0 } })
  },
  async 'after-commit' (t, { app, sent, removed }) {
    for (const status of [200, 500]) t.equal((await post(app, '/signup', ada)).statusCode, status)
    await app.close()
    t.same([sent, removed], [['welcome, ada@example.com'], ['picture of ada@example.com']])
  },
  async signals (t, { app, audit }) {
    for (const status of [200, 500]) t.equal((await post(app, '/users', ada)).statusCode, status)
    await app.close()
    t.same(audit, ['POST wrote Ada'])
  },
  async retry (t, example) {
    await addAda(example)
    const { app, orm, removeAll } = example
    let deadlocks = 2
    orm.em.getEventManager().registerSubscriber({
      async beforeFlush () { if (deadlocks-- > 0) throw Object.assign(new Error('Deadlock found'), { errno: 1213, sqlState: '40001' }) }
    })
    t.match((await post(app, '/users/1/rename')).json(), { name: 'Ada!' })
    t.equal(await (removeAll as () => Promise<number>)(), 1)
  },
  async 'retry-option' (t, { app }) {
    t.equal((await post(app, '/count')).body, '0')
  },
  async 'map-errors' (t, { app }) {
    t.equal((await post(app, '/users', ada)).statusCode, 200)
    t.match((await post(app, '/users', ada)).json(), { statusCode: 409, message: 'This conflicts with what is there already' })
  },
  async 'map-errors-option' (t, { app }) {
    t.match((await app.inject('/users/1')).json(), { statusCode: 404, message: 'User not found' })
  },
  async 'acquire-timeout' (t, { app }) {
    t.equal(app.db.pool.acquireTimeout, 2_000)
  },
  async 'begin-with-first' (t, { app }) {
    t.equal(app.db.settings.beginWithFirst, false)
  },
  async 'causal-reads' (t, { app }) {
    t.equal((await app.inject('/balance')).json(), 0)
  },
  async 'replicas-option' (t, { app }) {
    t.equal(await app.db.run(async session => await session.count('User' as never), { readOnly: true }), 0)
  },
  async 'read-your-writes-option' (t, example) {
    await addAda(example)
    t.equal(await example.app.db.run(async session => await session.count('User' as never), { readOnly: true }), 1)
  },
  async 'check-connection' (t, { app, orm }) {
    t.equal(app.db.settings.checkConnection, true)
    t.equal(await orm.isConnected(), true)
  },
  async 'config-db' (t, { app, orm }) {
    app.get('/session', { config: { db: false } }, async request => request.db.id)
    t.equal((await post(app, '/plain')).statusCode, 500)
    t.same(await emails(orm), ['plain@example.com'])
    t.equal((await app.inject('/health')).body, 'ok')
    t.match((await app.inject('/session')).json(), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  },
  async members (t, { app, orm }) {
    t.same((await post(app, '/import')).json(), { imported: 1 })
    t.same(await emails(orm), ['ada@example.com'])
  },
  async run (t, { orm, importUsers }) {
    t.equal(await (importUsers as (emails: string[]) => Promise<number>)(['a@example.com', 'b@example.com']), 2)
    t.same(await emails(orm), ['a@example.com', 'b@example.com'])
  },
  async open (t, { orm, addUser }) {
    const add = addUser as (email: string) => Promise<void>
    await add('a@example.com')
    await t.rejects(add('a@example.com'), { name: 'UniqueConstraintViolationException' })
    t.same(await emails(orm), ['a@example.com'])
  },
  async repository (t, example) {
    await addAda(example)
    t.same((await example.app.inject('/ada')).json(), { same: true })
  },
  async 'by-hand' (t, { app, orm }) {
    t.same((await post(app, '/by-hand')).json(), { kept: 1 })
    t.same(await emails(orm), ['kept@example.com'])
  },
  async 'route-by-route' (t, { app, orm }) {
    for (const url of ['/as-before', '/one-transaction']) t.equal((await post(app, url)).statusCode, 500)
    t.same(await emails(orm), ['before@example.com'])
  },
  async 'request-context' (t, { app, orm }) {
    app.addHook('onRequest', (_request, _reply, done) => { RequestContext.create(orm.em, done) })
    const current = async (url: string) => (await app.inject(url)).json()
    app.get('/hooked', async request => RequestContext.getEntityManager()?.getContext() === request.db.getContext())
    app.get('/forked', async request => {
      const fork = orm.em.fork()
      fork.create('User' as never, { name: 'Eve', email: 'fork@example.com' } as never)
      await fork.flush()
      throw new Error(request.method)
    })
    t.equal((await post(app, '/import')).statusCode, 422)
    t.same(await emails(orm), ['alone@example.com'])
    t.equal(await current('/hooked'), true, 'the hook goes on working')
    await current('/forked')
    t.same(await emails(orm), ['alone@example.com', 'fork@example.com'], 'a fork is outside')
    await RequestContext.create(orm.em, async () => {
      t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_NO_SCOPE' })
      t.equal(await orm.em.count('User' as never), 2)
    })
  },
  async job (t, example) {
    await addAda(example)
    for (const [job, name] of [['shout', 'ADA'], ['whisper', 'ada']] as const) {
      await (example[job] as () => Promise<void>)()
      t.equal(await example.app.db.run(async session => (await session.findOneOrFail('User' as never, 1 as never) as { name: string }).name), name)
    }
    await example.app.db.run(session => { session.create('User' as never, { name: 'Bob', email: 'bob@example.com' } as never) })
    t.same(await emails(example.orm), [ada.email], 'with neither nothing is written')
    t.match(example.logs, [/"unflushed":\{"User":1\}/])
  },
  async 'request-em' (t, { app, orm }) {
    app.get('/em', async () => ({ hasSession: app.db.hasSession(), requestContext: RequestContext.getEntityManager() ?? null }))
    t.match((await post(app, '/em')).json(), { id: 1, name: 'Ada' })
    t.same(await emails(orm), ['em@example.com'])
    t.same((await app.inject('/em')).json(), { hasSession: false, requestContext: null }, 'no session before it is used')
  },
  async 'fastify-mikro-orm' (t, { app }) {
    t.match((await post(app, '/users', ada)).json(), { id: 1, ...ada })
    t.equal(await app.db.run(async session => await session.count('User' as never)), 1)
    await app.close()
    t.equal(await app.db.orm.isConnected(), false, 'closed with the application')
  },
  async 'insert-or-not' (t, { app }) {
    t.match(await post(app, '/insert-or-not', ada), { statusCode: 200, body: '1' })
    t.match(await post(app, '/insert-or-not', ada), { statusCode: 200, body: '1' })
  },
  async 'row-level-security' (t, { app }) {
    const send = async (method: 'GET' | 'POST', tenant: string, payload?: object) => await app.inject({ method, url: '/invoices', headers: { 'x-tenant': tenant }, ...payload && { payload } })
    t.equal((await send('POST', 'a', { tenant: 'a', amount: 1 })).statusCode, 200)
    t.equal((await send('POST', 'a', { tenant: 'b', amount: 2 })).statusCode, 500)
    t.match((await send('GET', 'a')).json(), [{ tenant: 'a', amount: 1 }])
    t.same((await send('GET', 'b')).json(), [])
  },
  async 'no-scope' (t) {
    t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_NO_SCOPE' })
  },
  async wrapped (t, { app, orm }) {
    t.equal((await post(app, '/read-only')).statusCode, 405)
    t.same(await emails(orm), [])
  },
  async 'error-handler' (t, { app }) {
    app.post('/twice', async request => {
      await request.db.insert('User' as never, ada as never)
      await request.db.insert('User' as never, ada as never)
    })
    app.post('/nowhere', async request => await request.db.getConnection().execute('select * from nowhere'))
    t.match(await post(app, '/twice'), { statusCode: 409, body: '{"message":"This already exists"}' })
    t.match((await post(app, '/nowhere')).json(), { statusCode: 500, message: 'A database error occurred' })
  },
  async isolate (t, { seen, left }) {
    t.same([seen, left], [1, 0])
  },
  async 'or-404' (t, example) {
    await addAda(example)
    const get = async (url: string): Promise<unknown> => (await example.app.inject(url)).json()
    t.same(await get('/users/1'), { id: 1, ...ada })
    for (const id of ['2', 'abc', '1abc']) t.match(await get(`/users/${id}`), { statusCode: 404, message: 'User not found' }, id)
    t.same(await get('/by-email?email=ada@example.com'), { id: 1, ...ada })
    t.match(await get('/by-email?email=bob@example.com'), { statusCode: 404, message: 'Nobody has this address' })
    t.same(await get('/first'), { id: 1, ...ada })
  },
  async paginate (t, { app }) {
    const get = async (url: string): Promise<unknown> => (await app.inject(url)).json()
    const names = 'abcdefghij'.split('')
    await app.db.run(async session => await session.insertMany('User' as never, [...names, 'Ada'].map(name => ({ name, email: name })) as never))
    await app.db.run(async session => await session.nativeUpdate('User' as never, { name: 'Ada' } as never, { name: 'z' } as never))
    t.same(await get('/users?page=2&perPage=10'), { items: [{ id: 11, name: 'z' }], total: 11, page: 2, perPage: 10, pages: 2, hasNext: false, hasPrev: true, first: 11, last: 11 })
    t.match(await get('/users?page=3'), { statusCode: 404, message: 'Page 3 of User not found' })
    t.match(await get('/users?page=x'), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
    t.match(await get('/links?page=x'), { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_PAGE' })
    await app.db.run(async session => await session.insertMany('User' as never, Array.from({ length: 9 }, (_, index) => ({ name: 'n', email: `n${index}` })) as never))
    t.same(await get('/links?page=7&perPage=1'), [1, 2, null, 5, 6, 7, 8, 9, 10, 11, null, 19, 20])
  },
  async cursors (t, example) {
    await addAda(example)
    await example.app.db.run(async session => await session.insert('User' as never, { name: 'Bob', email: 'bob@example.com' } as never))
    const get = async (url: string): Promise<unknown> => (await example.app.inject(url)).json()
    const cursors = { startCursor: 'WyJBZGEiLDFd', endCursor: 'WyJBZGEiLDFd' }
    t.same(await get('/users?first=1'), { items: [{ id: 1, name: 'Ada' }], total: null, hasNext: true, hasPrev: false, ...cursors })
    t.match(await get('/users?first=10&after=WyJBZGEiLDFd'), { items: [{ id: 2, name: 'Bob' }], hasNext: false, hasPrev: true })
    t.match(await get('/users?after=x'), { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_CURSOR' })
  },
  async events (t, { app }) {
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    const { body } = await fetch(`${origin}/events`)
    const reader = (body as ReadableStream).pipeThrough(new TextDecoderStream()).getReader()
    t.equal((await reader.read()).value, 'data: 0 users\n\n')
    t.equal(app.db.openScopes, 0, 'no connection is held in between')
    for (const status of [200, 500]) t.equal((await post(app, '/users', ada)).statusCode, status)
    t.equal((await post(app, '/users', { name: 'Bob', email: 'bob@example.com' })).statusCode, 200)
    t.equal((await reader.read()).value, 'data: 1 more\n\n')
    t.equal((await reader.read()).value, 'data: 1 more\n\n')
    await reader.cancel()
  },
  async authentication (t, { app, orm }) {
    const account = { email: 'ada@example.com', password: 'correct horse' }
    const failures = async () => (await orm.em.fork().getConnection().execute('select failures from account') as { failures: number }[])[0]?.failures
    t.match(await post(app, '/accounts', account), { statusCode: 201, body: /^(?!.*(password|token))/ })
    t.equal((await post(app, '/accounts', account)).statusCode, 409)
    for (const password of ['wrong', '']) t.equal((await post(app, '/login', { ...account, password })).statusCode, 401)
    t.equal((await post(app, '/login', { ...account, email: 'eve@example.com' })).statusCode, 401)
    t.equal(await failures(), 2)
    await Promise.all([1, 2, 3].map(async () => await post(app, '/login', { ...account, password: 'wrong' })))
    t.equal(await failures(), 5, 'all of those that come at once')
    for (const body of [{ email: account.email }, { ...account, email: { $ne: null } }, { ...account, password: {} }]) {
      for (const url of ['/login', '/accounts']) t.match(await post(app, url, body), { statusCode: 400, body: 'FST_ERR_VALIDATION' }, `${url} ${JSON.stringify(body)}`)
    }
    const { token } = (await post(app, '/login', account)).json<{ token: string }>()
    t.equal(await failures(), 0)
    const get = async (url: string, token?: string) => await app.inject({ url, headers: { authorization: `Bearer ${token}` } })
    t.match((await get('/me', token)).json(), { id: 1, email: 'ada@example.com' })
    t.same([(await get('/me')).statusCode, (await get('/accounts', token)).statusCode], [401, 403])
    await orm.em.fork().getConnection().execute('update account set is_admin = 1')
    t.match((await get('/accounts', token)).json(), [{ email: 'ada@example.com' }])
  },
  async jobs (t, { app, orm, sent, sendMails }) {
    const errors = t.capture(app.log, 'error')
    const unsent = async () => (await orm.em.fork().getConnection().execute('select "to" from mail where sent_at is null') as { to: string }[]).map(({ to }) => to)
    for (const status of [200, 409]) t.equal((await post(app, '/users', { email: 'ada@example.com' })).statusCode, status)
    for (const email of ['nobody', 'bob@example.com']) t.equal((await post(app, '/users', { email })).statusCode, 200)
    while (app.db.openScopes > 0 || (sent as string[]).length < 2) await sleep(5)
    await (sendMails as () => Promise<void>)()
    t.same([sent, await unsent()], [['ada@example.com', 'bob@example.com'], ['nobody']], 'none of what was rolled back, none twice, and one behind a bad one')
    t.match(errors()[0]?.args, [{ message: 'There is no such address' }])
  },
  async logging (t, { app, lines }) {
    const duplicate = () => new UniqueConstraintViolationException(Object.assign(new Error("Duplicate entry 'ada@example.com'"), { code: 'ER_DUP_ENTRY', sql: "insert 'ada@example.com'" }))
    app.get('/wrapped', async () => { throw Object.assign(new Error('ada@example.com'), { cause: duplicate() }) })
    app.get('/other', async request => {
      request.log.error(duplicate())
      throw new Error('something else')
    })
    const logged = lines as string[]
    for (const status of [200, 500]) t.equal((await post(app, '/users', ada)).statusCode, status)
    t.match(logged.join(''), '"code":"SQLITE_CONSTRAINT_UNIQUE"')
    for (const url of ['/wrapped', '/other']) t.equal((await app.inject(url)).statusCode, 500)
    t.equal((await post(app, '/users', { email: ada.email })).statusCode, 500)
    t.notMatch(logged.join(''), /ada@|user\.email/i)
    t.match(logged.join(''), /"type":"UniqueConstraintViolationException","code":"ER_DUP_ENTRY","message":"A database error occurred","stack":" +at .*"msg":"A database error occurred"/)
    t.match(logged.join(''), '"msg":"something else"')
  },
  async 'flask-caught' (t, { app, orm }) {
    t.equal((await post(app, '/users', ada)).statusCode, 502)
    t.same(await emails(orm), [])
  },
  async 'flask-commit' (t, { app, orm }) {
    t.same([(await post(app, '/users', ada)).statusCode, (await post(app, '/users', ada)).statusCode], [200, 409])
    t.same(await emails(orm), ['ada@example.com'])
  },
  async 'flask-script' (t, { orm }) {
    t.same(await emails(orm), ['ada@example.com'])
  },
  async 'flask-savepoint' (t, { app, orm }) {
    for (const attempt of ['first', 'second']) t.same((await post(app, '/savepoint')).json(), { users: 1 }, attempt)
    t.same(await emails(orm), ['ada@example.com'])
  }
}

void t.test('every example is known here, and every claim has its example', async t => {
  t.same([...new Set(fences.map(fence => fence.language))].sort(), ['json', 'python', 'sh', 'text', 'ts'], 'no other code')
  t.same(examples.filter(fence => fence.name === undefined && fence.info !== 'types').map(fence => fence.place), [])
  t.same(examples.flatMap(fence => fence.name ?? []).sort(), Object.keys(claims).sort())
})

void t.test('every example passes the compiler', async t => {
  const augmenting = (code: string) => code.includes("declare module 'fastify-scoped-db'")
  t.same(typeErrors(examples.filter(({ code }) => !augmenting(code)), t.testdir()), [])
  t.same(typeErrors(examples.filter(({ info }) => info === 'types'), t.testdir()), [])
  t.ok(examples.every(({ code, info }) => info === 'types' || !augmenting(code)))
})

/** A database for an example, of which the role that it makes goes with it. Gives its address. */
async function postgreSqlDatabase (t: Test): Promise<string> {
  const database = await createDatabase('postgresql')
  t.teardown(async () => {
    await database.witness.driver.execute('drop owned by app_user; drop role app_user')
    await database.drop()
  })
  return `${postgresqlUrl()}/${String(database.options.dbName)}`
}

for (const fence of examples.filter(({ name }) => name !== undefined)) {
  const usesPostgreSql = fence.code.includes('@mikro-orm/postgresql')
  void t.test(`${fence.place} ${fence.name}`, { skip: usesPostgreSql && postgresqlUrl() === undefined && 'no PG_URL' }, async t => {
    if (usesPostgreSql) process.env['DATABASE_URL'] = await postgreSqlDatabase(t)
    await check(t, fence, t.testdir(), claims[String(fence.name)])
  })
}
