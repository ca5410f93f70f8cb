import { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import t from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('db.run() commits what resolves, rolls back what throws, and disposes of both', automatic, async (t, { app, labels, assertClean }) => {
  await app.ready()
  let kept: unknown
  const result = await db.run(async session => {
    kept = session
    session.create(Item, { label: 'resolved' })
    t.equal(db.session.id, session.id)
    return 'result'
  })
  t.equal(result, 'result')
  await assertClean()
  await t.rejects((kept as typeof db.session).count(Item), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await t.rejects(db.run(async session => {
    await session.insert(Item, { label: 'thrown', amount: 0 })
    throw new Error('thrown')
  }), { message: 'thrown' })
  await t.rejects(db.run(() => { throw new Error('synchronously') }), { message: 'synchronously' })
  await db.run(session => {
    session.create(Item, { label: 'doomed' })
    db.setRollbackOnly()
  })
  await db.run(session => { session.create(Item, { label: 'by hand' }) }, { commitOnTeardown: false })
  t.same(await labels(), ['resolved'])
})

onEachDatabase('what is no function is refused by name, and opens no scope', automatic, async (t, { app }) => {
  await app.ready()
  for (const [given, shown] of [['x', "'x'"], [undefined, 'undefined'], [{}, '{}']] as const) {
    const refused = (where: string) => ({ code: 'FST_SCOPED_DB_INVALID_OPTION', message: `fastify-scoped-db: ${where} takes a function, got ${shown}` })
    await t.rejects(db.run(given as never), refused('db.run()'))
    await db.run(() => {
      t.throws(() => db.afterCommit(given as never), refused('db.afterCommit()'))
      t.throws(() => db.afterRollback(given as never), refused('db.afterRollback()'))
    })
  }
})

onEachDatabase('db.run() whose commit fails rejects', automatic, async (t, { app, labels }) => {
  await app.ready()
  await db.run(session => { session.create(Item, { label: 'same' }) })
  await t.rejects(db.run(session => { session.create(Item, { label: 'same' }) }), { name: 'UniqueConstraintViolationException' })
  t.same(await labels(), ['same'])
})

onEachDatabase('db.run() inherits the plugin\'s commitOnTeardown', { plugin: { commitOnTeardown: false } }, async (t, { app, labels, logs }) => {
  await app.ready()
  await db.run(async session => {
    session.create(Item, { label: 'flushed' })
    await session.flush()
    session.create(Item, { label: 'not flushed' })
  })
  t.match(logs.find(line => line.msg.startsWith('unflushed')), { unflushed: { Item: 1 } })
  await db.run(session => { session.create(Item, { label: 'committed' }) }, { commitOnTeardown: true })
  t.same(await labels(), ['committed', 'flushed'])
})

onEachDatabase('inside a request db.run() is an independent unit of work', { plugin: { commitOnTeardown: true, begin: 'write' } }, async (t, { app, labels, orm, kind }) => {
  app.post('/', async request => {
    const outer = request.db
    await db.run(async session => {
      t.not(session.id, outer.id)
      t.equal(request.db, outer)
      t.equal(orm.em.id, session.id)
      t.equal(outer.getContext(), outer)
      session.create(Item, { label: 'run' })
    })
    t.equal(db.session.id, outer.id)
    if (kind === 'mysql') {
      await outer.transactional(async () => {
        await db.run(session => {
          t.equal(orm.em.id, session.id, 'the outer nested transaction is not seen')
          session.create(Item, { label: 'run inside a transaction' })
        })
      })
    }
    await outer.insert(Item, { label: 'outer', amount: 0 })
    throw new Error('roll back the outer one')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back the outer one' })
  t.same(await labels(), kind === 'mysql' ? ['run', 'run inside a transaction'] : ['run'])
})

onEachDatabase('db.run() takes options of its own', automatic, async (t, { app }) => {
  await app.ready()
  await t.rejects(db.run(async session => await session.insert(Item, { label: 'a', amount: 0 }), { readOnly: true }), { code: 'FST_SCOPED_DB_READ_ONLY' })
  await db.run(session => t.equal(session.schema, 'tenant'), { sessionOptions: { schema: 'tenant' } })
  await t.rejects(db.run(() => {}, { begin: 'soon' as never }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /begin/ })
  await t.rejects(db.run(() => {}, { unknown: true } as never), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /unknown/ })
})

onEachDatabase('db.open() is rolled back at the end of its block unless it was committed', automatic, async (t, { app, labels, assertClean }) => {
  await app.ready()
  {
    await using scope = db.open()
    scope.session.create(Item, { label: 'committed' })
    await scope.commit()
    scope.session.create(Item, { label: 'rolled back' })
    await scope.session.flush()
    await scope.rollback()
    await scope.session.insert(Item, { label: 'left', amount: 0 })
    t.equal(app.db.openScopes, 1)
  }
  {
    await using unused = db.open()
    t.ok(unused)
    await unused.commit()
    await unused.rollback()
  }
  await assertClean()
  t.same(await labels(), ['committed'])
  t.throws(() => db.open({ begin: 'soon' as never }), { code: 'FST_SCOPED_DB_INVALID_OPTION' })
})

onEachDatabase('what is called after the outcome', automatic, async (t, { app, labels }) => {
  app.addHook('onResponse', async () => {
    t.equal(await db.session.count(Item), 1)
    await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    await t.rejects(db.rollback(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    await t.rejects(db.session.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is committed\./ })
  })
  app.post('/', async request => request.db.create(Item, { label: 'in time' }))
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  app.log.info('done')
  t.same(await labels(), ['in time'])
})

onEachDatabase('no end can be asked of a scope that is over', automatic, async (t, { app, labels, logs }) => {
  const CLOSED = { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }
  const checked = new Gate()
  const disposed = new Gate()
  const checkLater = async () => {
    await disposed.opened
    await t.rejects(db.commit(), CLOSED)
    await t.rejects(db.rollback(), CLOSED)
    checked.open()
  }
  app.post('/refused', async (request, reply) => {
    request.db.create(Item, { label: 'refused' })
    void checkLater()
    return await reply.code(422).send()
  })
  app.post('/hijacked', async (request, reply) => {
    request.db.create(Item, { label: 'hijacked' })
    db.setRollbackOnly()
    reply.hijack()
    reply.raw.end()
    while (app.db.openScopes > 0) await sleep(5)
    await db.commit()
  })
  app.get('/unused', async () => {
    await db.commit()
    await db.rollback()
    return 'nothing to do'
  })
  t.equal((await app.inject({ method: 'POST', url: '/refused' })).statusCode, 422)
  while (app.db.openScopes > 0) await sleep(5)
  disposed.open()
  await checked.opened
  await app.inject({ method: 'POST', url: '/hijacked' })
  while (!logs.some(line => (line['err'] as { code?: string } | undefined)?.code === CLOSED.code)) await sleep(5)
  t.equal((await app.inject('/unused')).statusCode, 200)

  const open = db.open()
  open.session.create(Item, { label: 'open' })
  await open[Symbol.asyncDispose]()
  await t.rejects(open.commit(), CLOSED)
  await t.rejects(open.rollback(), CLOSED)
  t.same(await labels(), [])
})

onEachDatabase('a session that is first made after the outcome only reads', automatic, async (t, { app, labels }) => {
  const checked = new Gate()
  app.addHook('onResponse', async () => {
    t.equal(await db.session.count(Item), 0)
    await t.rejects(db.session.insert(Item, { label: 'late', amount: 0 }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    checked.open()
  })
  app.post('/', async () => 'without a session')
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await checked.opened
  t.same(await labels(), [])
})

onEachDatabase('outside any scope', {}, async (t, { app }) => {
  await app.ready()
  for (const use of [() => db.session.id, () => db.hasSession(), () => db.setRollbackOnly(), () => app.db.session.id]) {
    t.throws(use, { code: 'FST_SCOPED_DB_NO_SCOPE', message: /db\.run\(fn\)/ })
  }
  for (const use of [() => db.commit(), () => db.rollback(), () => db.remove()]) await t.rejects(use(), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  for (const session of [db.session, app.db.session]) {
    const sql = session
    for (const use of [() => sql.count(Item), () => sql.flush(), () => sql.execute('select 1'), () => sql.transactional(async () => {}), () => sql.stream(Item, {}).next()] as (() => Promise<unknown>)[]) {
      await t.rejects(use(), { code: 'FST_SCOPED_DB_NO_SCOPE' })
    }
    for (const use of [() => sql.create(Item, { label: 'a' }), () => sql.getKysely(), () => sql.createQueryBuilder(Item), () => { Reflect.set(sql, 'name', 'other') }]) t.throws(use, { code: 'FST_SCOPED_DB_NO_SCOPE' })
    t.match(inspect({ session }), /session: \[\w+EntityManager: .*FST_SCOPED_DB_NO_SCOPE/)
    t.equal(String(session), '[object Object]')
    t.equal(JSON.stringify({ session }), '{"session":{}}')
    t.equal('flush' in session, true)
    t.equal('nothing' in session, false)
    t.equal(await Promise.resolve(session), session)
    t.ok(session instanceof SqlEntityManager)
  }
  await app.db.run(session => t.equal(inspect(db.session), inspect(session)))
  for (const printed of [inspect(db), String(db)]) t.type(printed, 'string')
  t.equal(db.name, 'default')
  t.equal(app.db.orm.em.isInTransaction(), false, 'orm.em behaves as MikroORM\'s own does')
  await t.rejects(app.db.orm.em.flush(), /global EntityManager/)
})

onEachDatabase('several applications in one process never mix', automatic, async (t, { app, orm, database, labels }) => {
  const other = Fastify()
  await other.register(scopedDb, { orm: database.options, name: 'other', commitOnTeardown: true })
  app.post('/', async () => {
    t.equal(db.name, 'default')
    t.equal(db.orm, orm)
    t.throws(() => other.db.session.id, { code: 'FST_SCOPED_DB_NO_SCOPE' }, 'a scope of another application')
    return (await other.inject({ method: 'POST', url: '/' })).body
  })
  other.post('/', async request => {
    t.equal(db.name, 'other')
    t.equal(db.orm, other.db.orm)
    request.db.create(Item, { label: 'other' })
    return 'ok'
  })
  await other.ready()
  t.throws(() => db.name, { code: 'FST_SCOPED_DB_AMBIGUOUS', message: /fastify\.db/ })
  t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_AMBIGUOUS' })
  await other.db.run(session => t.equal(db.session.id, session.id))
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'ok')
  await other.close()
  t.equal(db.name, 'default', 'the only one again')
  t.same(await labels(), ['other'])
})

onEachDatabase('two applications can share one ORM', automatic, async (t, { app, orm, labels }) => {
  const other = Fastify()
  await other.register(scopedDb, { orm, name: 'other', commitOnTeardown: true })
  app.post('/', async () => {
    t.equal(db.name, 'default')
    return orm.em.create(Item, { label: 'one' })
  })
  other.post('/', async () => {
    t.equal(db.name, 'other')
    return orm.em.create(Item, { label: 'two' })
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.equal((await other.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await other.close()
  t.equal(await orm.isConnected(), true, 'an instance stays its owner\'s to close')
  t.same(await labels(), ['one', 'two'])
})

onEachDatabase('no session once the application is closed', automatic, async (t, { orm }) => {
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'closing' })
  await app.ready()
  const { db: database } = app
  await app.close()
  await t.rejects(database.run(async session => await session.count(Item)), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /the application is closed/ })
})

void t.test('before anything is registered', async t => {
  t.throws(() => db.name, { code: 'FST_SCOPED_DB_NOT_REGISTERED', message: /app\.register/ })
  t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
})

onEachDatabase('a transaction inside can be another than its scope', { plugin: {} }, async (t, { app }) => {
  t.equal(await app.db.run(async session => await session.transactional(async em => await em.count(Item), { readOnly: true })), 0)
})
