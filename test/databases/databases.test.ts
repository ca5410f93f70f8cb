/** Several databases in one application: one scope, a session for each, one outcome. */
import { Readable } from 'node:stream'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { addSecond, analytics, session } from '../support/second-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

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
