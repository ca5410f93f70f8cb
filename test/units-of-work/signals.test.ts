/** db.on(): what was changed, and which sessions there are. */
import { TransactionPropagation, type EntityManager } from '@mikro-orm/core'
import { setTimeout as sleep } from 'node:timers/promises'
import { db, type Signals } from '../../plugin.ts'
import { Item as ItemEntity, ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

const labelsOf = (entities: object[]) => entities.map(entity => entity instanceof ItemEntity ? entity.label : '?')

/** Keeps what the signals of outcomes told. */
function listen ({ app }: Stage) {
  const told: string[] = []
  const keep = (name: string) => ({ database, kind, changes }: Signals['committed']) => {
    const changed = Object.entries(changes as unknown as Record<string, object[]>).filter(([, entities]) => entities.length > 0)
    told.push(`${database} ${kind} ${name}: ${changed.map(([operation, entities]) => `${operation} ${labelsOf(entities).join('+')}`).join(', ')}`)
  }
  app.db.on('committed', keep('committed'))
  app.db.on('rolledBack', keep('rolled back'))
  return {
    keep,
    async taken (): Promise<string[]> {
      await sleep(0)
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
      return told.splice(0)
    }
  }
}

onEachDatabase('committed and rolledBack tell what was inserted, updated and deleted', automatic, async (t, stage) => {
  const { app } = stage
  const signals = listen(stage)
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    const em = request.db
    em.create(Item, { label: 'new' })
    const [kept, gone] = [em.create(Item, { label: 'kept' }), em.create(Item, { label: 'gone' })]
    await em.flush()
    kept.amount = 1
    em.remove(gone)
    await em.flush()
    return await reply.code(Number(request.params.status)).send()
  })
  app.post('/later', async request => {
    const items = await request.db.find(Item, {}, { orderBy: { label: 'asc' } })
    const [kept, gone] = items
    if (kept !== undefined) kept.amount++
    if (gone !== undefined) request.db.remove(gone)
    return 'text'
  })
  app.post('/nothing', async request => String(await request.db.count(Item)))
  await app.inject({ method: 'POST', url: '/409' })
  t.same(await signals.taken(), ['default request rolled back: insert new+kept'])
  await app.inject({ method: 'POST', url: '/201' })
  t.same(await signals.taken(), ['default request committed: insert new+kept'], 'what was inserted and deleted again is nothing')
  await app.inject({ method: 'POST', url: '/nothing' })
  t.same(await signals.taken(), [])
  await app.inject({ method: 'POST', url: '/later' })
  t.same(await signals.taken(), ['default request committed: update kept, delete new'])
})

onEachDatabase('savepoints, transactions of their own, and commits by hand', automatic, async (t, stage) => {
  const { app, kind } = stage
  const signals = listen(stage)
  await app.ready()
  await db.run(async session => {
    session.create(Item, { label: 'first' })
    await db.commit()
    t.same(await signals.taken(), ['default db.run committed: insert first'])
    session.create(Item, { label: 'second' })
    await session.transactional(async em => { em.create(Item, { label: 'released' }) })
    await t.rejects(session.transactional(async em => {
      em.create(Item, { label: 'dropped' })
      await em.flush()
      throw new Error('back')
    }))
    if (kind === 'mysql') {
      await session.transactional(async em => { em.create(Item, { label: 'alone' }) }, { propagation: TransactionPropagation.REQUIRES_NEW })
      t.same(await signals.taken(), ['default db.run committed: insert alone'])
    }
    session.create(Part, { item: await session.findOneOrFail(Item, { label: 'first' }), name: 'part' })
  })
  t.same(await signals.taken(), ['default db.run committed: insert second+released+?'])
  await using scope = db.open()
  scope.session.create(Item, { label: 'opened' })
  await scope.session.flush()
  await scope.rollback()
  t.same(await signals.taken(), ['default db.open rolled back: insert opened'])
})

onEachDatabase('without commitOnTeardown each flush is an outcome', manual, async (t, stage) => {
  const { app } = stage
  const signals = listen(stage)
  await app.ready()
  await db.run(async session => {
    session.create(Item, { label: 'flushed' })
    await session.flush()
    t.same(await signals.taken(), ['default db.run committed: insert flushed'])
    await t.rejects(session.transactional(async em => {
      em.create(Item, { label: 'back' })
      await em.flush()
      throw new Error('back')
    }))
    t.same(await signals.taken(), ['default db.run rolled back: insert back'])
  })
})

onEachDatabase('each database tells of its own changes', automatic, async (t, stage) => {
  const { app } = stage
  await stage.addDatabase('analytics', automatic.plugin)
  const signals = listen(stage)
  app.db.use('analytics').on('committed', signals.keep('committed'))
  await db.run(async session => {
    session.create(Item, { label: 'here' })
    db.use('analytics').session.create(Item, { label: 'there' })
  })
  t.same(await signals.taken(), ['default db.run committed: insert here', 'analytics db.run committed: insert there'])
})

onEachDatabase('a session that ends by itself tells of its own changes alone', automatic, async (t, stage) => {
  const { app } = stage
  await stage.addDatabase('second', automatic.plugin)
  const signals = listen(stage)
  app.db.use('second').on('committed', signals.keep('committed'))
  app.post('/', async () => {
    for (const [database, label] of [['default', 'dropped'], ['second', 'kept']] as const) {
      db.use(database as 'default').session.create(Item, { label })
      await db.use(database as 'default').session.flush()
    }
    await db.remove()
    t.same(await signals.taken(), ['default request rolled back: insert dropped'])
    await db.remove()
    t.same(await signals.taken(), [], 'it has none any more')
    return 'text'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await signals.taken(), ['second request committed: insert kept'])
})

onEachDatabase('opened and closed', automatic, async (t, stage) => {
  const { app, logs } = stage
  const told: [name: string, signal: Signals['opened']][] = []
  app.db.on('opened', signal => {
    told.push(['opened', signal])
    signal.session.setFlushMode('commit')
  })
  app.db.on('closed', signal => { told.push(['closed', signal]) })
  let session: EntityManager | undefined
  let id: unknown
  app.post('/', async request => {
    id = (request).id
    session = request.db
    await db.remove()
    request.db.create(Item, { label: 'a' })
    return 'text'
  })
  app.post('/none', async () => 'text')
  await app.inject({ method: 'POST', url: '/none' })
  await app.inject({ method: 'POST', url: '/' })
  await stage.assertClean()
  t.same(told.map(([name]) => name), ['opened', 'closed', 'opened', 'closed'])
  t.equal(told[0]?.[1].session, session)
  t.ok(told.every(([, { kind, request, database }]) => kind === 'request' && request?.id === id && database === 'default'))
  told.length = 0
  const stop = app.db.on('opened', () => { throw new Error('of a listener') })
  app.db.on('opened', async () => { throw new Error('of a listener') })
  await db.run(async session => t.equal(await session.count(Item), 1))
  t.match(told, [['opened', { kind: 'db.run', request: undefined }], ['closed', { kind: 'db.run' }]])
  const failures = logs.filter(line => line.msg === 'a listener to the sessions of a database failed')
  t.equal(failures.length, 2)
  stop()
  await db.run(async session => t.equal(await session.count(Item), 1))
  t.equal(logs.filter(line => line.msg === 'a listener to the sessions of a database failed').length, 3, 'one of the two has stopped listening')
})

onEachDatabase('nothing is recorded while nobody listens, and a listener stops', automatic, async (t, stage) => {
  const { app, orm, logs } = stage
  await app.ready()
  const flushes = () => [...orm.em.getEventManager().getSubscribers()].filter(subscriber => 'afterFlush' in subscriber).length
  await db.run(session => { session.create(Item, { label: 'a' }) })
  t.equal(flushes(), 1)
  const told: number[] = []
  const listener = ({ changes }: Signals['committed']) => { told.push(changes.insert.length) }
  const stops = [app.db.on('committed', listener), app.db.on('committed', listener)]
  app.db.on('committed', () => { throw new Error('of a listener') })
  await db.run(session => { session.create(Item, { label: 'b' }) })
  await db.run(session => { session.create(Item, { label: 'c' }) }, { sessionOptions: { freshEventManager: true } })
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  t.same(told, [1, 1, 1, 1], 'the same function twice is two listeners')
  t.equal(flushes(), 1)
  t.equal(logs.filter(line => line.msg === 'work after the outcome of a database scope failed').length, 2)
  for (const stop of stops) stop()
  await db.run(session => { session.create(Item, { label: 'd' }) })
  await new Promise(setImmediate)
  t.equal(told.length, 4)
  t.throws(() => app.db.on('commited' as 'committed', listener), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /db\.on\(\) takes 'committed', 'rolledBack', 'opened', 'closed', got 'commited'/ })
  t.throws(() => app.db.on('committed', 'listener' as never), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /listener of db\.on\('committed'\) takes a function/ })
})
