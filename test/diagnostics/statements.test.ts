/** The tracing channel of statements: all that a scope sends, by whatever way, is told of once. */
import { TransactionPropagation } from '@mikro-orm/core'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { eventsOf } from '../support/traces.ts'

interface Tables {
  item: { label: string, amount: number }
  nowhere: object
}

const automatic = { plugin: { commitOnTeardown: true } }

/** A message in a few words: what it does, and whether it is inside. */
const short = ({ sql, kind, inTransaction }: { sql: string, kind: string, inTransaction: boolean }) =>
  `${/^\s*(?:rollback to|\w+)/i.exec(sql)?.[0].toLowerCase()} ${kind}${inTransaction ? ' inside' : ''}`

/** Some of which a database has more than others, or fewer, and what is sent once on each connection. */
const isTheSame = (line: string) => !/^(?:set|release|show|select control) ?/.test(line)

onEachDatabase('with commitOnTeardown: all statements of MikroORM and Kysely, streams and savepoints', automatic, async (t, { app }) => {
  const statements = eventsOf(t, 'statement')
  const did = () => statements.ended().map(short).filter(isTheSame)
  app.get('/read/:id', async request => await request.db.count(Item).then(String))
  app.post('/write/:status', async (request, reply) => {
    request.db.create(Item, { label: 'a' })
    await request.db.flush()
    return await reply.code(Number((request.params as { status: string }).status)).send('ok')
  })
  app.post('/kysely', async request => {
    await request.db.getKysely<Tables>().insertInto('item').values({ label: 'b', amount: 0 }).execute()
    await request.db.getKysely<Tables>().selectFrom('item').selectAll().execute()
    return 'ok'
  })
  app.post('/raw', async request => {
    await request.db.execute('update item set amount = 1')
    return 'ok'
  })
  app.get('/stream', async request => {
    const labels: string[] = []
    for await (const { label } of request.db.stream(Item, {})) labels.push(label)
    return labels
  })
  app.post('/savepoint', async request => {
    await request.db.transactional(async session => { session.create(Item, { label: 'c' }) })
    await t.rejects(request.db.transactional(async session => { await session.insert(Item, { label: 'd', amount: 0 }); throw new Error('undone') }))
    return 'ok'
  })
  await app.inject('/read/1')
  t.same(did(), ['select read'])
  await app.inject({ method: 'POST', url: '/write/201' })
  t.same(did(), ['begin control inside', 'insert write inside', 'commit control inside'])
  await app.inject({ method: 'POST', url: '/write/409' })
  t.same(did(), ['begin control inside', 'insert write inside', 'rollback control inside'])
  await app.inject({ method: 'POST', url: '/kysely' })
  t.same(did(), ['begin control inside', 'insert write inside', 'select read inside', 'commit control inside'])
  await app.inject({ method: 'POST', url: '/raw' })
  t.same(did(), ['begin control inside', 'update write inside', 'commit control inside'])
  t.same((await app.inject('/stream')).json(), ['a', 'b'])
  t.same(did(), ['select read'])
  await app.inject({ method: 'POST', url: '/savepoint' })
  t.same(did(), ['begin control inside', 'savepoint control inside', 'insert write inside',
    'savepoint control inside', 'insert write inside', 'rollback to control inside', 'commit control inside'])
})

onEachDatabase('without: what is committed by itself is not inside, and what MikroORM begins is', {}, async (t, { app }) => {
  const statements = eventsOf(t, 'statement')
  const did = () => statements.ended().map(short).filter(isTheSame)
  await app.db.run(async session => {
    await session.count(Item)
    t.same(did(), ['select read'])
    await session.insert(Item, { label: 'a', amount: 0 })
    t.same(did(), ['insert write'])
    session.create(Item, { label: 'b' })
    await session.flush()
    t.same(did(), ['begin control inside', 'insert write inside', 'commit control inside'])
    await session.transactional(async session => { await session.count(Item) }, { propagation: TransactionPropagation.REQUIRES_NEW })
    t.same(did(), ['begin control inside', 'select read inside', 'commit control inside'])
    for await (const item of session.stream(Item, {})) t.ok(item)
    t.same(did(), ['select read'])
  })
  t.same(did(), [])
})

onEachDatabase('each is told with its parameters, its rows and its scope', automatic, async (t, { app, orm }) => {
  const statements = eventsOf(t, 'statement')
  app.get('/items/:label', async request => await request.db.find(Item, { label: (request.params as { label: string }).label }))
  await app.db.run(async session => { await session.insertMany(Item, [{ label: 'a', amount: 0 }, { label: 'b', amount: 0 }]) })
  const jobs = statements.ended()
  t.same(jobs.map(({ scope, route, database }) => ({ scope, route, database })), jobs.map(() => ({ scope: { kind: 'db.run', url: undefined }, route: undefined, database: 'default' })))
  t.match(jobs.filter(({ kind }) => kind === 'write'), [{ parameters: ['a', 0, 'b', 0], rows: 2, duration: Number }])
  t.ok(jobs.filter(({ kind }) => kind === 'control').every(({ rows }) => rows === undefined))
  t.match((await app.inject('/items/a')).json(), { length: 1 })
  const [read, ...others] = statements.ended().filter(({ kind }) => kind !== 'control')
  t.match(read, { sql: /select .* where .* = \?/, parameters: ['a'], rows: 1, database: 'default', route: '/items/:label', scope: { kind: 'request', url: '/items/a' } })
  t.same(others, [])
  await app.db.run(async session => { await session.execute('update item set amount = 7') })
  t.match(statements.ended().filter(({ kind }) => kind === 'write'), [{ rows: 2, parameters: [] }])
  await orm.em.fork().count(Item)
  t.same(statements.ended(), [], 'what no scope sends is not told of')
})

onEachDatabase('one that fails is told with its error, and the events are those of tracePromise()', automatic, async (t, { app }) => {
  const statements = eventsOf(t, 'statement')
  await t.rejects(app.db.run(async session => await session.execute('update nowhere set amount = 7')))
  const all = statements.taken()
  const { message } = all.find(({ message }) => message.kind === 'write') ?? {}
  t.same(all.filter(event => event.message === message).map(({ event }) => event), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  t.match(message, { error: /nowhere/, rows: undefined, duration: Number })
  await t.rejects(app.db.run(async session => { for await (const item of session.getKysely<Tables>().selectFrom('nowhere').selectAll().stream()) t.fail(item) }))
  t.match(statements.ended().filter(({ kind }) => kind !== 'control'), [{ error: /nowhere/, rows: 0 }])
})

onEachDatabase('a stream whose reader leaves is over', automatic, async (t, { app }) => {
  await app.db.run(async session => { await session.insertMany(Item, ['a', 'b', 'c'].map(label => ({ label, amount: 0 }))) })
  const statements = eventsOf(t, 'statement')
  await app.db.run(async session => {
    const rows = session.getKysely<Tables>().selectFrom('item').selectAll().stream(1)
    t.match(await rows.next(), { done: false })
    await rows.return?.()
    t.match(statements.ended().filter(({ kind }) => kind === 'read'), [{ error: undefined, duration: Number }])
  })
})

onEachDatabase('inside isolate() as well, where a transaction is a savepoint', automatic, async (t, { app }) => {
  const { isolate } = await import('../../testing.ts')
  await app.ready()
  const { release } = await isolate(app)
  const statements = eventsOf(t, 'statement')
  await app.db.run(async session => {
    await session.insert(Item, { label: 'a', amount: 0 })
    await session.transactional(async session => { await session.count(Item) })
    await t.rejects(session.transactional(async session => { await session.count(Item); throw new Error('undone') }))
  })
  t.same(statements.ended().map(short), ['begin control inside', 'insert write inside', 'savepoint control inside', 'select read inside', 'release control inside',
    'savepoint control inside', 'select read inside', 'rollback to control inside', 'commit control inside'])
  await t.rejects(app.db.run(async session => { await session.insert(Item, { label: 'a', amount: 0 }); throw new Error('undone') }))
  t.same(statements.ended().map(short), ['begin control inside', 'insert write inside', 'rollback control inside'])
  await release()
})

onEachDatabase('what row level security is to know, with its values apart', {
  kinds: ['postgresql'], plugin: { commitOnTeardown: true, sessionOptions: { session: { variables: { 'app.tenant': 'secret' } } } }
}, async (t, { app }) => {
  const statements = eventsOf(t, 'statement')
  await app.db.run(async session => await session.count(Item))
  t.match(statements.ended()[1], { sql: 'select set_config(?, ?, true)', parameters: ['app.tenant', 'secret'], inTransaction: true })
})
