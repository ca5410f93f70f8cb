/** What the inspector knows of requests and runs, as JSON. */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import inspector from '../../inspector.ts'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { rawClient } from '../support/clients.ts'
import { asked, inspectedBy, lastInspected, type Inspected } from '../support/inspected.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const onSqlite = { ...automatic, kinds: ['sqlite' as const] }
const HERE = /^test\/diagnostics\/inspector\.test\.ts:\d+:\d+$/

onEachDatabase('a request: what became of it, why, and what was sent, from where, with which values', automatic, async (t, { app }) => {
  await app.register(inspector)
  app.post('/items/:label', async (request, reply) => {
    await request.db.count(Item, { label: 'a' })
    await db.session.getKysely<{ item: { label: string, amount: number } }>().insertInto('item').values({ label: "it's", amount: 0 }).execute()
    return await reply.code(409).send('no')
  })
  await app.inject({ method: 'POST', url: '/items/x?y=z' })
  const plain = await lastInspected(app)
  t.match(plain, {
    id: 1,
    kind: 'request',
    request: { id: 'req-1', method: 'POST', url: '/items/x?y=z', route: '/items/:label' },
    isRunning: false,
    duration: Number,
    status: 409,
    hasClientLeft: false,
    outcome: 'rollback',
    reason: 'status 409',
    databaseTime: Number,
    waited: Number,
    held: Number,
    replied: Number,
    connections: [{ database: 'default', at: Number, waited: Number, held: Number }]
  })
  t.equal(plain.statements, plain.sent.filter(({ kind }) => kind !== 'control').length)
  t.match(asked(plain).map(({ statement }) => statement), [
    { sql: /^select/, kind: 'read', inTransaction: true, parameters: 1, rows: 1, duration: Number, at: Number, place: HERE },
    { sql: /^insert/, kind: 'write', parameters: 2, rows: 1, place: HERE }
  ])
  t.match(plain.sent.at(-1), { sql: 'rollback', kind: 'control' })
  t.notMatch(JSON.stringify(plain), "it's", 'values are there for who asks')

  const [, insert] = asked(await lastInspected(app, '?values=true'))
  t.equal(insert?.statement.values?.length, 2)
  const { runnable = '' } = insert?.statement ?? {}
  t.match(runnable, /^insert into .item. .*\)$/)
  await app.db.run(async session => await session.execute(runnable), { commitOnTeardown: true })
  t.same(await app.db.run(async session => (await session.findOneOrFail(Item, { amount: 0 })).label), "it's", 'it can be run as it is')
})

onEachDatabase('runs, what has failed, and a request without a statement', automatic, async (t, { app }) => {
  await app.register(inspector)
  app.get('/without', async () => 'ok')
  await app.inject('/without')
  t.match(await lastInspected(app), { request: { url: '/without' }, status: 200, statements: 0, sent: [], outcome: undefined })
  await t.rejects(app.db.run(async session => await session.execute('update nowhere set amount = 7')))
  const failed = await lastInspected(app)
  t.match(failed, { kind: 'db.run', outcome: 'rollback', reason: 'db.run() has thrown', request: undefined, failed: 1 })
  t.match(asked(failed), [{ statement: { error: String } }])
  t.notMatch(JSON.stringify(failed.sent.map(sent => ({ ...sent, sql: '' }))), 'nowhere', 'a message can hold values')
  t.match(asked(await lastInspected(app, '?values=true')), [{ statement: { message: /nowhere/ } }])

  await t.rejects(app.db.run(async session => { for (const amount of [1, 2]) session.create(Item, { label: 'same', amount }) }))
  t.match(await lastInspected(app, '?values=true'), { reason: 'its commit has failed', error: String, message: /same|unique/i })
  await t.rejects(app.db.run(async () => { throw new Error('before anything') }))
  t.match(await lastInspected(app), { kind: 'db.run', sent: [] })
})

onEachDatabase('the page itself is not shown, nor what it does not have', onSqlite, async (t, { app }) => {
  app.setNotFoundHandler(async (request, reply) => {
    await request.db.count(Item)
    return await reply.code(404).send('nothing of the application')
  })
  await app.register(inspector)
  app.get('/', async () => 'ok')
  await app.inject('/')
  for (const url of ['/_db/', '/_db/page.js', '/_db/nothing.js', '/_db/requests/0.json', '/_db/deeper/nothing']) await app.inject(url)
  await app.inject({ method: 'POST', url: '/_db' })
  t.match(await inspectedBy(app), { length: 1 })
  t.match((await app.inject('/_db/nothing.js')).json(), { message: String })
  t.equal((await app.inject({ url: '/_db/nothing.js', headers: { forwarded: 'for=1.2.3.4' } })).statusCode, 403)
  t.equal((await app.inject('/_dbs')).body, 'nothing of the application')
  t.match(await lastInspected(app), { request: { url: '/_dbs' }, status: 404 })
})

onEachDatabase('a page at the root leaves the application what is not found', onSqlite, async (t, { app }) => {
  app.setNotFoundHandler(async (_request, reply) => await reply.code(404).send('nothing of the application'))
  await app.register(inspector, { prefix: '/' })
  t.equal((await app.inject('/nothing')).body, 'nothing of the application')
  t.match((await app.inject('/requests.json')).json(), [{ request: { url: '/nothing' }, status: 404 }])
})

onEachDatabase('a statement that is sent over and over is marked, and one that takes long', automatic, async (t, { app }) => {
  await app.register(inspector, { slowerThan: 1 })
  await app.db.run(async session => { for (const label of ['a', 'b', 'c']) await session.findOne(Item, { label }) })
  const last = await lastInspected(app)
  t.match(last, { repeated: 1 })
  t.same(asked(last).map(({ statement }) => statement.repeated), [3, 3, 3])
  await app.db.run(async session => { for await (const one of session.stream(Item, {})) t.fail(one) })
  t.match(await lastInspected(app), { repeated: 0, slow: Number })
})

onEachDatabase('EXPLAIN of what only reads, by whatever way it was sent', automatic, async (t, { app, kind, assertClean }) => {
  await app.register(inspector)
  await app.db.run(async session => {
    await session.findOne(Item, { label: 'ada@example.com; -- #' })
    await session.getKysely<{ item: { id: number, label: string } }>().selectFrom('item').select('id').where('label', '=', "it's").execute()
    await session.execute('select ? as one', [1])
    await session.insert(Item, { label: 'b', amount: 0 })
    await session.execute('select 1 /* and who knows what */')
  })
  const last = await lastInspected(app)
  const statements = asked(last)
  t.same(statements.map(({ statement }) => statement.isExplainable), [true, true, true, false, false])
  const explain = async (index: number) => await app.inject({ method: 'POST', url: `/_db/requests/${last.id}/statements/${index}/explain` })
  for (const { index, statement } of statements.slice(0, 3)) {
    const { statusCode, body } = await explain(index)
    t.equal(statusCode, 200, `${statement.sql}: ${body}`)
    const plan = JSON.parse(body) as { columns: string[], rows: string[][] }
    t.match(plan.columns, { sqlite: ['id', 'parent', 'notused', 'detail'], mysql: ['id', 'select_type'], postgresql: ['QUERY PLAN'] }[kind as string])
    t.match(plan.rows, [[String]])
  }
  const { index = 0 } = statements[3] ?? {}
  const refused = await explain(index)
  t.same([refused.statusCode, refused.json()], [422, { message: 'There is no plan of this statement' }])
  await assertClean()
  t.equal((await inspectedBy(app)).length, 1, 'its own are not shown')
})

onEachDatabase('what the database says of an EXPLAIN that it refuses; what is not kept any more', onSqlite, async (t, { app }) => {
  await app.register(inspector, { requests: 1 })
  await t.rejects(app.db.run(async session => await session.execute('select gone from item')))
  const last = await lastInspected(app)
  const url = `/_db/requests/${last.id}/statements/${asked(last)[0]?.index}/explain`
  const reply = await app.inject({ method: 'POST', url })
  t.same([reply.statusCode, /gone/.test(reply.body)], [422, true])
  await app.db.run(async session => await session.count(Item))
  t.equal((await app.inject({ method: 'POST', url })).statusCode, 404)
  t.equal((await app.inject(`/_db/requests/${last.id}.json`)).statusCode, 404)
  t.equal((await app.inject('/_db/requests/x.json')).statusCode, 400)
})

onEachDatabase('the list can be searched and filtered', onSqlite, async (t, { app }) => {
  await app.register(inspector, { slowerThan: 2147483647 })
  app.get('/found/:status', async (request, reply) => {
    if (Number((request.params as { status: string }).status) !== 204) await request.db.count(Item)
    return await reply.code(Number((request.params as { status: string }).status)).send()
  })
  for (const status of [204, 201, 404]) await app.inject(`/found/${status}`)
  await app.db.run(async session => { for (const label of ['a', 'b', 'c']) await session.findOne(Item, { label }) })
  await lastInspected(app)
  const found = async (query: string) => (await inspectedBy(app, query)).map(({ request }) => request?.url ?? 'run')
  t.same(await found(''), ['run', '/found/404', '/found/201', '/found/204'])
  t.same(await found('?search=FOUND/2'), ['/found/201', '/found/204'])
  t.same(await found('?search=count('), ['/found/404', '/found/201'], 'in SQL, too')
  t.same(await found('?search=%25'), [])
  t.same(await found('?only=statements'), ['run', '/found/404', '/found/201'])
  t.same(await found('?only=failed'), ['/found/404'])
  t.same(await found('?only=rollback'), ['/found/404'])
  t.same(await found('?only=repeated&search=item'), ['run'])
  t.same(await found('?only=slow'), [])
  t.equal((await app.inject('/_db/requests.json?only=other')).statusCode, 400)
})

onEachDatabase('a client that leaves, and what runs still', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, listen, assertClean }) => {
  await app.register(inspector)
  const arrived = new Gate()
  app.post('/slow', async request => {
    await request.db.count(Item)
    arrived.open()
    await new Promise<void>(resolve => { request.signal.addEventListener('abort', () => { resolve() }) })
    return 'ok'
  })
  const { port } = await listen()
  const client = await rawClient(port, ['POST /slow HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  await arrived.opened
  t.match(await inspectedBy(app), [{ isRunning: true, status: undefined, outcome: undefined, duration: Number }])
  client.leave()
  await assertClean()
  t.match(await lastInspected(app), { hasClientLeft: true, outcome: 'rollback', reason: 'the client has left' })
})

onEachDatabase('routes that were there before, another database, another application', onSqlite, async (t, { app, addDatabase }) => {
  await app.register(async app => { app.get('/before', async () => await db.session.count(Item)) })
  await addDatabase('other')
  await app.register(inspector)
  const { default: Fastify } = await import('fastify')
  const { default: scopedDb } = await import('../../plugin.ts')
  const { MikroORM } = await import('@mikro-orm/sqlite')
  const stranger = Fastify()
  await stranger.register(scopedDb, { orm: await MikroORM.init({ dbName: ':memory:', entities: [Item] }) as never })
  t.teardown(async () => { await stranger.db.orm.close(); await stranger.close() })

  await app.inject('/before')
  t.match(await lastInspected(app), { request: { url: '/before' }, statements: 1, outcome: 'commit' })
  await app.db.run(async () => await db.use('other').session.count(Item))
  const last = await lastInspected(app)
  t.match(last, { connections: [{ database: 'other' }], sent: [{ database: 'other' }] })
  t.equal((await app.inject({ method: 'POST', url: `/_db/requests/${last.id}/statements/0/explain` })).statusCode, 200)
  await stranger.db.run(async session => await session.execute('select 1'))
  t.equal((await inspectedBy(app)).length, 2)
})

onEachDatabase('an attempt that is made again is of the same request', onSqlite, async (t, { app }) => {
  await app.register(inspector)
  app.post('/', { config: { db: { retry: { attempts: 2, backoff: 1, when: () => true } } } }, async request => {
    await request.db.count(Item)
    const { length } = asked(await app.inject('/_db/requests/1.json').then(reply => reply.json<Inspected>()))
    if (length === 1) throw new Error('again')
    return 'ok'
  })
  await app.inject({ method: 'POST', url: '/' })
  const last = await lastInspected(app)
  t.match(last, { id: 1, outcome: 'commit', status: 200 })
  t.equal(asked(last).length, 2)
})

onEachDatabase('what is too large is cut, and what is too much is counted', onSqlite, async (t, { app }) => {
  await app.register(inspector, { bytes: 60_000 })
  await app.db.run(async session => {
    await session.execute('select ? as long', ['x'.repeat(9_000)])
    await session.execute(`select '${'x'.repeat(9_000)}' as long`)
    for (let n = 0; n < 100; n++) await session.execute('select 1')
  })
  const last = await lastInspected(app, '?values=true')
  const [values, text, ...others] = asked(last).map(({ statement }) => statement)
  t.match(values, { sql: 'select ? as long', values: undefined, runnable: undefined, isExplainable: false })
  t.match(text, { sql: /^select 'x{992}…$/, values: undefined, rows: 1 })
  t.same([last.statements, last.sent.length + last.leftOut], [102, 104], 'with BEGIN and COMMIT')
  t.ok(others.length > 10 && others.length < 100)
})

onEachDatabase('so are connections', onSqlite, async (t, { app }) => {
  await app.register(inspector, { bytes: 10_000 })
  app.get('/', async request => { for (let n = 0; n < 10; n++) await request.db.count(Item) })
  await app.inject('/')
  const last = await lastInspected(app)
  t.match(last, { statements: 10, waited: Number, held: Number })
  t.ok(last.connections.length < 10 && last.connections.length > 1)
})

onEachDatabase('news comes by itself', onSqlite, async (t, { app, listen }) => {
  await app.register(inspector)
  const { port } = await listen()
  const stream = httpRequest({ host: '127.0.0.1', port, path: '/_db/events' }).end()
  const [response] = await once(stream, 'response') as [IncomingMessage]
  t.match(response.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  t.equal(String((await once(response, 'data'))[0]), 'retry: 1000\n\n')
  await app.db.run(async session => await session.count(Item))
  await app.db.run(async session => await session.count(Item))
  t.equal(String((await once(response, 'data'))[0]), 'event: changed\ndata: [1,2]\n\n')
  const left = httpRequest({ host: '127.0.0.1', port, path: '/_db/events' }).end()
  await once(left, 'response')
  left.destroy()
  await app.db.run(async session => await session.count(Item))
  const ended = once(response, 'close')
  await app.close()
  await ended
})

onEachDatabase('files of the page: the browser asks whether they have changed', onSqlite, async (t, { app }) => {
  await app.register(async app => { await app.register(inspector, { prefix: '/look' }) }, { prefix: '/inside' })
  const redirect = await app.inject('/inside/look')
  t.same([redirect.statusCode, redirect.headers['location']], [302, 'look/'])
  const page = await app.inject('/inside/look/?x')
  t.match(page.headers, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': /^default-src 'none'; script-src 'self';/, 'x-content-type-options': 'nosniff' })
  t.match(page.body, '<script type="module" src="page.js"></script>')
  for (const [, file = ''] of page.body.matchAll(/(?:src|href)="([^"]*)"/g)) t.equal((await app.inject(`/inside/look/${file}`)).statusCode, 200, file)
  const again = await app.inject({ url: '/inside/look/', headers: { 'if-none-match': String(page.headers['etag']) } })
  t.same([again.statusCode, again.body], [304, ''])
  t.same((await app.inject('/inside/look/requests.json')).json(), [], 'its own requests are not shown')
})
