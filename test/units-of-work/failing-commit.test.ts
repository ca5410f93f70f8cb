import { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('a failed commit is a failed request', automatic, async (t, { app, kind, labels, orm }) => {
  if (kind === 'sqlite') {
    // Checked by COMMIT, not by the statement.
    await orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  }
  const seen: unknown[] = []
  app.setErrorHandler(async (error, request, reply) => {
    seen.push(error)
    await t.rejects(request.db.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is rolled back\./ })
    return await reply.send({ handled: (error as Error).name })
  })
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'first' })
    if (kind === 'sqlite') await request.db.getConnection().execute('insert into child (item_id) values (4711)')
    else request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    reply.code(201)
    return 'a string: nothing is serialized, so the flush comes with the commit'
  })
  const response = await app.inject({ method: 'POST', url: '/' })
  t.equal(response.statusCode, 500, 'never the status of the success')
  t.equal(seen.length, 1, 'the error handler was called once')
  t.match(response.json(), { handled: /./ })
  t.same(await labels(), [])
})

onEachDatabase('a flush that fails leaves nothing but a rollback', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'whole' })
    request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    await t.rejects(request.db.flush())
    await t.rejects(request.db.find(Item, {}), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', message: /its transaction has failed/, cause: { name: 'ForeignKeyConstraintViolationException' } })
    return 'as if nothing had happened'
  })
  app.post('/anew', async request => {
    request.db.create(Item, { label: 'broken' })
    request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    await t.rejects(request.db.flush())
    await db.rollback()
    request.db.create(Item, { label: 'anew' })
    return 'with a new transaction'
  })
  const response = await app.inject({ method: 'POST', url: '/' })
  t.match(response.json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  t.equal((await app.inject({ method: 'POST', url: '/anew' })).statusCode, 200)
  t.same(await labels(), ['anew'])
})

onEachDatabase('an error that stops the commit brings its status, if it is one of an error', automatic, async (t, { app, orm, labels }) => {
  let statusCode: unknown
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { throw Object.assign(new Error('stopped'), { statusCode }) } })
  app.setErrorHandler(async (error, _request, reply) => await reply.send((error as Error).message))
  app.post('/', async request => request.db.create(Item, { label: 'stopped' }))
  for (const [given, answered] of [[409, 409], [400, 400], [399, 500], ['409', 500]]) {
    statusCode = given
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, answered)
  }
  t.same(await labels(), [])
})

onEachDatabase('a db.commit() whose flush fails, which is swallowed', automatic, async (t, { app, database, labels }) => {
  await database.witness.em.fork().insert(Item, { label: 'there', amount: 0 })
  const swallowed = async (work: () => Promise<unknown>) => { await t.rejects(work(), { name: 'UniqueConstraintViolationException' }) }
  const onlyRollback = { code: 'FST_SCOPED_DB_ROLLBACK_ONLY', cause: { name: 'UniqueConstraintViolationException' } }
  const fail = async () => {
    db.session.create(Item, { label: 'lost' })
    db.session.create(Item, { label: 'there' })
    await db.commit()
  }
  app.post('/nothing', async () => {
    await swallowed(fail)
    return 'ok'
  })
  app.post('/goes-on', async request => {
    await swallowed(fail)
    await t.rejects(request.db.insert(Item, { label: 'after', amount: 0 }), onlyRollback)
    await t.rejects(db.commit(), onlyRollback)
    await t.rejects(request.db.commit(), onlyRollback)
    request.db.create(Item, { label: 'after' })
    return 'ok'
  })
  app.post('/refuses', async (_request, reply) => {
    await swallowed(fail)
    return await reply.code(409).send('no')
  })
  app.post('/rolls-back', async request => {
    await swallowed(fail)
    await db.rollback()
    request.db.create(Item, { label: 'anew' })
    await db.commit()
    return 'ok'
  })
  const post = async (url: string) => (await app.inject({ method: 'POST', url })).statusCode
  for (const url of ['/nothing', '/goes-on']) t.equal(await post(url), 500, url)
  t.equal(await post('/refuses'), 409)
  await t.rejects(app.db.run(async () => { await swallowed(fail) }), onlyRollback)
  t.same(await labels(), ['there'])
  t.equal(await post('/rolls-back'), 200)
  t.same(await labels(), ['anew', 'there'])
  await using scope = app.db.open()
  scope.session.create(Item, { label: 'there' })
  await swallowed(() => scope.commit())
  scope.session.create(Item, { label: 'opened' })
  await t.rejects(scope.commit(), onlyRollback)
  await scope.rollback()
  scope.session.create(Item, { label: 'opened' })
  await scope.commit()
  t.same(await labels(), ['anew', 'opened', 'there'])
})

onEachDatabase('a db.commit() fails, too, that comes while one that has failed is rolled back', automatic, async (t, { app, orm, labels }) => {
  const commits: Promise<void>[] = []
  orm.em.getEventManager().registerSubscriber({ async afterTransactionRollback () { commits.push(db.commit()) } })
  app.post('/', async ({ db: session }) => {
    session.create(Item, { label: 'twice' })
    session.create(Item, { label: 'twice' })
    commits.push(db.commit())
    await Promise.allSettled(commits)
    for (const commit of commits) await t.rejects(commit, { name: 'UniqueConstraintViolationException' })
    t.ok(commits.length > 1)
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(await labels(), [])
})

onEachDatabase('a db.commit() that is refused after its flush, which is swallowed', automatic, async (t, { app, orm, labels, logs }) => {
  let refusals = 0
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { if (refusals-- > 0) throw new Error('refused') } })
  const refused = async () => {
    refusals = 1
    db.session.create(Item, { label: 'refused' })
    await t.rejects(db.commit(), { message: 'refused' })
  }
  app.post('/told', async request => {
    await refused()
    return { committed: false, shown: request.db.getUnitOfWork().getIdentityMap().values().length }
  })
  app.post('/goes-on', async request => {
    await refused()
    await request.db.find(Item, {}).catch(() => {})
    return 'ok'
  })
  app.post('/creates', async request => {
    await refused()
    request.db.create(Item, { label: 'after' })
    return 'ok'
  })
  app.post('/again', async () => {
    await refused()
    await db.commit().catch(() => {})
    return 'ok'
  })
  app.post('/anew', async request => {
    await refused()
    await db.rollback()
    request.db.create(Item, { label: 'anew' })
    return 'ok'
  })
  const told = await app.inject({ method: 'POST', url: '/told' })
  t.same([told.statusCode, told.json()], [200, { committed: false, shown: 0 }], 'it knows what it answers')
  t.match(logs.filter(({ level }) => level === 40), [{ msg: /^a commit by hand was refused/, err: { message: 'refused' } }])
  for (const url of ['/goes-on', '/creates', '/again']) t.match((await app.inject({ method: 'POST', url })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' }, url)
  t.equal((await app.inject({ method: 'POST', url: '/anew' })).statusCode, 200)
  t.same(await labels(), ['anew'])
})

onEachDatabase('a db.commit() that nobody waits for', automatic, async (t, { app, database, labels }) => {
  await database.witness.em.fork().insert(Item, { label: 'there', amount: 0 })
  let failures = 0
  app.post('/:label', async request => {
    request.db.create(Item, request.params as { label: string })
    void db.commit().catch(() => { failures++ })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/new' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/there' })).statusCode, 500, 'that it fails is noticed all the same')
  t.equal(failures, 1)
  t.same(await labels(), ['new', 'there'])
})

onEachDatabase('a db.rollback() that nobody waits for', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'lost' })
    await request.db.flush()
    void db.rollback()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), [])
})

onEachDatabase('the error of a failed commit has no header of the body that is not sent', automatic, async (t, { app, kind, labels, orm }) => {
  if (kind === 'sqlite') await orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  // As plugins that compress do, and as @fastify/etag does.
  app.addHook('onSend', async (request, reply) => {
    if (!reply.hasHeader('etag')) reply.header('etag', reply.statusCode === 200 ? '"known"' : '"error"')
    if (request.headers['if-none-match'] === reply.getHeader('etag')) reply.code(304)
    if (reply.statusCode < 400) reply.header('content-encoding', 'gzip').header('last-modified', new Date(0).toUTCString()).header('content-range', 'bytes 0-1/2')
  })
  app.get('/', async (request, reply) => {
    request.db.create(Item, { label: 'first' })
    if (kind === 'sqlite') await request.db.getConnection().execute('insert into child (item_id) values (4711)')
    else request.db.create(Part, { item: 4711 as never, name: 'no such item' })
    reply.header('x-mine', 'stays')
    return 'a string'
  })
  const { statusCode, headers } = await app.inject({ url: '/', headers: { 'if-none-match': '"known"' } })
  t.equal(statusCode, 500, 'no 304: nothing is in the database')
  t.match(headers, { etag: '"error"', 'x-mine': 'stays', 'content-encoding': undefined, 'last-modified': undefined, 'content-range': undefined })
  t.same(await labels(), [])
})
