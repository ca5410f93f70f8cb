/** Several databases in one application: one scope, a session for each, one outcome. */
import Fastify from 'fastify'
import { Readable } from 'node:stream'
import t from 'tap'
import scopedDb, { db, type ScopedDbOptions } from '../../plugin.ts'
import { createDatabase, type SqlORM } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const labelsIn = async (orm: SqlORM) => (await orm.em.fork().find(Item, {}, { orderBy: { label: 'asc' } })).map(({ label }) => label)

/** Registers a second database of the same kind. */
const addSecond = async ({ addDatabase }: Stage, options: Omit<ScopedDbOptions, 'orm'> = automatic.plugin) => await addDatabase('analytics', options)

const analytics = db.use('analytics')
const session = analytics.session

onEachDatabase('one scope has a session for each database, and commits them all or none', automatic, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage)
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    t.equal(analytics.hasSession(), false, 'made on first use')
    request.db.create(Item, { label: request.params.status })
    session.create(Item, { label: `${request.params.status} seen` })
    t.equal(analytics.hasSession(), true)
    t.equal(app.db.openScopes, 1)
    t.not(session.id, request.db.id)
    t.equal(db.use('analytics').session.id, session.id)
    t.equal(app.db.use('analytics').session.id, session.id)
    t.equal(second.orm.em.getContext().id, session.id)
    reply.code(Number(request.params.status))
    return { ok: true }
  })
  app.post('/second-only', async () => session.create(Item, { label: 'second only' }))
  for (const status of [201, 409]) t.equal((await app.inject({ method: 'POST', url: `/${status}` })).statusCode, status)
  t.match((await app.inject({ method: 'POST', url: '/second-only' })).json(), { id: 2, label: 'second only' }, 'flushed before the reply')
  t.same(await labels(), ['201'])
  t.same(await second.labels(), ['201 seen', 'second only'])
})

onEachDatabase('what fails in the flush of one database is committed in none', automatic, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage)
  await db.run(async () => { session.create(Item, { label: 'same' }) })
  app.post('/', async request => {
    request.db.create(Item, { label: 'first' })
    session.create(Item, { label: 'same' })
    return 'text'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same([await labels(), await second.labels()], [[], ['same']])
})

onEachDatabase('a subscriber, or a flush that has failed, stops the commit of all', automatic, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage)
  app.post('/', async request => {
    request.db.create(Item, { label: 'first' })
    session.create(Item, { label: 'second' })
    return 'text'
  })
  app.post('/failed', async request => {
    request.db.create(Item, { label: 'first' })
    session.create(Item, { label: 'twice' })
    session.create(Item, { label: 'twice' })
    await t.rejects(session.flush(), { name: 'UniqueConstraintViolationException' })
    return 'text'
  })
  t.match((await app.inject({ method: 'POST', url: '/failed' })).json(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  second.orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { throw new Error('not now') } })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'not now' })
  const nothing: Error = JSON.parse('null')
  second.orm.em.getEventManager().registerSubscriber({ async beforeFlush () { throw nothing } })
  await t.rejects(db.run(async () => { session.create(Item, { label: 'second' }) }).catch((error: unknown) => { throw new Error(String(error)) }), { message: 'null' })
  t.same([await labels(), await second.labels()], [[], []])
})

onEachDatabase('a COMMIT that fails after another went through is an error, and the log says what is where', { ...automatic, kinds: ['sqlite'] }, async (t, stage) => {
  const { app, labels, logs } = stage
  const second = await addSecond(stage)
  await second.orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  const third = await createDatabase('sqlite')
  await app.register(scopedDb, { orm: third.options, name: 'third', commitOnTeardown: true })
  await stage.addDatabase('read', automatic.plugin)
  t.teardown(async () => {
    await app.close()
    await third.drop()
  })
  app.post<{ Querystring: { alone?: string } }>('/', async request => {
    t.ok(db.use('read').session.id)
    if (request.query.alone === undefined) request.db.create(Item, { label: 'first' })
    await session.getConnection().execute('insert into child (item_id) values (4711)', [], 'run', session.getTransactionContext())
    db.use('third').session.create(Item, { label: 'third' })
    return 'text'
  })
  const partly = await app.inject({ method: 'POST', url: '/' })
  t.match(partly.json(), { statusCode: 500, code: 'FST_SCOPED_DB_PARTLY_COMMITTED' })
  t.notMatch(partly.body, /FOREIGN|analytics|third/)
  const line = logs.find(line => line.msg === 'a unit of work is not in all of its databases')
  t.match(line, { reqId: /./, err: { code: 'FST_SCOPED_DB_PARTLY_COMMITTED', message: /FOREIGN KEY/ } })
  t.same([line?.['committed'], line?.['notCommitted'], line?.['unknown']], [['default'], ['analytics', 'third'], []], 'not the one that was only read')
  t.same([await labels(), await second.labels(), await labelsIn(third.witness)], [['first'], [], []])

  const none = await app.inject({ method: 'POST', url: '/?alone=yes' })
  t.match(none.json(), { statusCode: 500, message: 'A database error occurred' }, 'the first COMMIT of all fails: nothing special')
  t.equal(logs.filter(line => line.msg === 'a unit of work is not in all of its databases').length, 1)
  t.same(await labelsIn(third.witness), [])
})

onEachDatabase('a COMMIT that nobody knows of, beside another database', { ...automatic, kinds: ['mysql'] }, async (t, stage) => {
  const second = await createDatabase('mysql')
  const { app, orm, proxy } = await proxied(t, second, { commitOnTeardown: true })
  const logs: Record<string, unknown>[] = []
  app.log.error = (details: Record<string, unknown>) => { logs.push(details) }
  await app.register(scopedDb, { orm: stage.orm, name: 'beside', commitOnTeardown: true })
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  await app.ready()
  const work = app.db.run(async session => {
    t.equal(app.db.name, 'proxied', 'the first, since none is named default')
    session.create(Item, { label: 'unknown' })
    app.db.use('beside').session.create(Item, { label: 'beside' })
  })
  await t.rejects(work, { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.same(logs.map(({ committed, notCommitted, unknown }) => ({ committed, notCommitted, unknown })), [{ committed: [], notCommitted: ['beside'], unknown: ['proxied'] }])
  proxy.react = () => undefined
  t.same([await labelsIn(second.witness), await stage.labels()], [['unknown'], []])
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await second.drop()
  })
})

onEachDatabase('db.commit(), db.rollback() and db.setRollbackOnly() are about the whole scope, db.remove() about one session', automatic, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage)
  const add = (label: string) => {
    db.session.create(Item, { label })
    session.create(Item, { label })
  }
  await db.run(async () => {
    add('committed')
    await analytics.commit()
    add('rolled back')
    await db.rollback()
    add('removed from the second')
    await session.flush()
    await analytics.remove()
    t.equal(analytics.hasSession(), false)
    t.equal(db.hasSession(), true)
  })
  t.same(await labels(), ['committed', 'removed from the second'])
  t.same(await second.labels(), ['committed'])
  app.post('/', async () => {
    add('doomed')
    analytics.setRollbackOnly()
    return 'text'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await using scope = analytics.open()
  scope.session.create(Item, { label: 'opened' })
  await scope.commit()
  t.same([await labels(), await second.labels()], [['committed', 'removed from the second'], ['committed', 'opened']])
})

onEachDatabase('nested transactions of two databases in each other', automatic, async (t, stage) => {
  const { app, orm, labels } = stage
  const second = await addSecond(stage)
  app.post('/', async request => {
    await request.db.transactional(async outer => {
      await second.orm.em.transactional(async em => {
        t.equal(session.getContext(), em)
        t.equal(second.orm.em.getContext(), em)
        t.equal(request.db.getContext(), outer, 'not the innermost of all')
        t.equal(orm.em.getContext(), outer)
        session.create(Item, { label: 'second' })
        await t.rejects(orm.em.transactional(async () => {
          db.session.create(Item, { label: 'back to the savepoint' })
          session.create(Item, { label: 'inside, and stays' })
          throw new Error('back')
        }), { message: 'back' })
        orm.em.create(Item, { label: 'first' })
      })
    })
    t.equal(orm.em.getContext().id, request.db.id)
    return 'text'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['first'])
  t.same(await second.labels(), ['inside, and stays', 'second'])
})

onEachDatabase('a plain MikroORM session beside one that the scope commits', automatic, async (t, stage) => {
  const { app, labels, logs } = stage
  const second = await addSecond(stage, { commitOnTeardown: false })
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    request.db.create(Item, { label: request.params.status })
    session.create(Item, { label: `${request.params.status} flushed` })
    await session.flush()
    session.create(Item, { label: 'never flushed' })
    return await reply.code(Number(request.params.status)).send('text')
  })
  for (const status of [200, 400]) t.equal((await app.inject({ method: 'POST', url: `/${status}` })).statusCode, status)
  t.same(await labels(), ['200'])
  t.same(await second.labels(), ['200 flushed', '400 flushed'])
  t.equal(logs.filter(line => line.msg.startsWith('unflushed changes')).length, 2)
  await db.run(async () => {
    db.session.create(Item, { label: 'by hand' })
    session.create(Item, { label: 'by hand' })
    await db.commit()
    await session.begin()
    session.create(Item, { label: 'in its own transaction' })
    await db.commit()
  })
  t.same([await labels(), (await second.labels()).slice(2)], [['200', 'by hand'], ['by hand', 'in its own transaction']])
})

onEachDatabase('a reply that streams from two databases', automatic, async (t, stage) => {
  const { app } = stage
  await addSecond(stage)
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'first' })
    session.create(Item, { label: 'second' })
    async function * labels () {
      for (const em of [session, request.db, session]) yield `${(await em.findAll(Item)).map(({ label }) => label).join()}\n`
      await t.rejects(session.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    }
    return await reply.send(Readable.from(labels()))
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'second\nfirst\nsecond\n')
})

onEachDatabase('options for all databases, and for one of them', { plugin: { commitOnTeardown: true } }, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage, { commitOnTeardown: true, readOnly: true })
  const write = async () => {
    db.session.create(Item, { label: 'first' })
    await db.session.flush()
    session.create(Item, { label: 'second' })
    return 'text'
  }
  app.post('/', write)
  app.post('/both', { config: { db: { readOnly: false } } }, write)
  app.post('/one', { config: { db: { use: { analytics: { readOnly: false, commitOnTeardown: false } } } } }, write)
  const codes = []
  for (const url of ['/', '/both', '/one']) codes.push((await app.inject({ method: 'POST', url })).statusCode)
  t.same(codes, [500, 200, 500], 'the last: /both has left a row')
  t.same([await labels(), await second.labels()], [['first'], ['second']])
  await t.rejects(db.run(write, { use: { default: { readOnly: true }, analytics: { readOnly: false } } }), { code: 'FST_SCOPED_DB_READ_ONLY' })
})

onEachDatabase('all databases must say commit', { plugin: { commitOnTeardown: () => true } }, async (t, stage) => {
  const { app, labels } = stage
  await addSecond(stage, { commitOnTeardown: (_request, reply) => reply.statusCode === 200 })
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    request.db.create(Item, { label: request.params.status })
    return await reply.code(Number(request.params.status)).send('text')
  })
  for (const status of [200, 201]) await app.inject({ method: 'POST', url: `/${status}` })
  t.same(await labels(), ['200'])
})

const shared = { asked: 0, rule: () => ++shared.asked > 0 }

onEachDatabase('a rule that databases share is asked once', { plugin: { commitOnTeardown: shared.rule } }, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage, { commitOnTeardown: shared.rule })
  app.post('/', async request => {
    request.db.create(Item, { label: 'first' })
    session.create(Item, { label: 'second' })
    return 'text'
  })
  shared.asked = 0
  await app.inject({ method: 'POST', url: '/' })
  t.equal(shared.asked, 1)
  t.same([await labels(), await second.labels()], [['first'], ['second']])
})

onEachDatabase('cancelOnAbort of one database ends the scope', { plugin: {} }, async (t, stage) => {
  const second = await addSecond(stage, { commitOnTeardown: true, cancelOnAbort: true })
  const closed = Promise.withResolvers<unknown>()
  stage.app.post('/', async request => {
    session.create(Item, { label: 'never' })
    await session.flush()
    request.raw.socket.destroy()
    while (stage.app.db.openScopes > 0) await new Promise(setImmediate)
    closed.resolve(t.throws(() => session.id, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }))
  })
  const { port } = await stage.listen()
  await t.rejects(fetch(`http://127.0.0.1:${port}/`, { method: 'POST' }))
  await closed.promise
  t.same(await second.labels(), [])
})

onEachDatabase('wrong names and wrong options', automatic, async (t, stage) => {
  const { app, orm } = stage
  await addSecond(stage, { commitOnTeardown: false })
  t.throws(() => db.use('analytic').name, { code: 'FST_SCOPED_DB_UNKNOWN_DATABASE', message: /no database named "analytic" is registered, only: default, analytics/ })
  t.throws(() => app.db.use('analytic'), { code: 'FST_SCOPED_DB_UNKNOWN_DATABASE' })
  t.equal(db.use('analytics').name, 'analytics')
  t.equal(db.use('analytics'), db.use('analytics'), 'the same thing each time')
  t.equal(db.use('analytics').use('default').name, 'default')
  await t.rejects(async () => await app.register(scopedDb, { orm, name: 'third' }), { code: 'FST_SCOPED_DB_ORM_IN_USE', message: /"third" is that of "default"/ })
})

onEachDatabase('wrong options for one database', automatic, async (t, stage) => {
  const { app } = stage
  await addSecond(stage, { commitOnTeardown: false })
  await app.ready()
  const add = (db: unknown) => () => app.get('/wrong', { config: { db: db as never } }, async () => 'ok')
  for (const given of [add, (options: unknown) => () => db.run(() => {}, options as never)]) {
    const refused = async (options: unknown, expected: { code: string, message: RegExp }) => await t.rejects(async () => { await given(options)() }, expected)
    await refused({ use: { analytic: {} } }, { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"use\.analytic".* only default, analytics/ })
    await refused({ use: { analytics: { readOnly: 'yes' } } }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"use\.analytics\.readOnly".* takes true or false/ })
    await refused({ use: { analytics: { use: {} } } }, { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"use\.analytics\.use"/ })
    await refused({ use: [] }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"use".* takes options by the name of a database/ })
    await refused({ use: { analytics: { begin: 'write' } } }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"use\.analytics\.begin".* takes a commitOnTeardown/ })
    await refused({ commitOnTeardown: false, begin: 'write' }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"begin"/ })
  }
  await t.resolves(db.run(() => {}, { begin: 'write' }), 'it is of use to one of the two')
})

void t.test('the database that is named default is request.db, whenever it comes', async t => {
  const app = Fastify()
  const [first, second] = [await createDatabase('sqlite'), await createDatabase('sqlite')]
  await app.register(async child => {
    await child.register(scopedDb, { orm: first.options, name: 'first' })
    t.equal(child.db.name, 'first')
    await child.register(async grandchild => {
      await grandchild.register(scopedDb, { orm: second.options })
      grandchild.get('/', async request => [request.server.db.name, request.db.name, db.name, request.db.config === db.orm.config])
    })
  })
  t.same((await app.inject('/')).json(), ['default', 'default', 'default', true])
  await app.close()
  await first.drop()
  await second.drop()
})

void t.test('db.use() can be kept before anything is registered', async t => {
  t.throws(() => session.id, { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
  t.throws(() => analytics.name, { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
})
