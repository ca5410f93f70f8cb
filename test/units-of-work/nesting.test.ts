import { TransactionPropagation } from '@mikro-orm/core'
import { db, type DatabaseSession } from '../../plugin.ts'
import { servers, type SqlORM } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

onEachDatabase('em.transactional() nests as a savepoint, and what was added before it stays', automatic, async (t, { app, labels, orm }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'before' })
    await t.rejects(request.db.transactional(async em => {
      em.create(Item, { label: 'inside' })
      await em.flush()
      t.equal(request.db.getContext(), em, 'code that holds the outer session sees the nested one')
      throw new Error('back to the savepoint')
    }))
    await orm.em.transactional(async em => {
      em.create(Item, { label: 'through orm.em' })
      await t.rejects(db.session.transactional(async deeper => {
        deeper.create(Item, { label: 'deeper' })
        throw new Error('back again')
      }))
    })
    request.db.create(Item, { label: 'after' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['after', 'before', 'through orm.em'])
})

onEachDatabase('an error reply rolls back what nested transactions released', automatic, async (t, { app, labels }) => {
  app.post('/', async (request, reply) => {
    await request.db.transactional(async em => { em.create(Item, { label: 'released' }) })
    return await reply.code(400).send('no')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 400)
  t.same(await labels(), [])
})

onEachDatabase('a unique violation in a nested transaction can be caught', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'same' })
    await t.rejects(request.db.transactional(async em => await em.insert(Item, { label: 'same', amount: 0 })), { name: 'UniqueConstraintViolationException' })
    await t.rejects(request.db.transactional(async em => { em.create(Item, { label: 'same' }) }), { name: 'UniqueConstraintViolationException' })
    await request.db.insert(Item, { label: 'other', amount: 0 })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['other', 'same'])
})

onEachDatabase('em.commit() and em.rollback() in a nested transaction act on its savepoint', { ...automatic, kinds: servers }, async (t, { app, kind, labels }) => {
  app.post('/', async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'nested' })
      await em.commit()
      em.create(Item, { label: 'afterwards' })
      await em.flush()
    })
    t.same(await labels(), [], 'nothing is committed before the reply')
    throw new Error('roll back')
  })
  // MikroORM releases its savepoint a second time, at the end. Only PostgreSQL minds.
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: kind === 'postgresql' ? 'A database error occurred' : 'roll back' })
  t.same(await labels(), [])
})

onEachDatabase('propagation inside the scope\'s transaction', { ...automatic, kinds: servers }, async (t, { app, labels }) => {
  app.post('/', async request => {
    const em = request.db
    const insert = (label: string) => async (inner: typeof em) => { await inner.insert(Item, { label, amount: 0 }) }
    for (const propagation of ['REQUIRED', 'SUPPORTS', 'MANDATORY', 'NESTED', 'REQUIRES_NEW', 'NOT_SUPPORTED'] as const) {
      await em.transactional(insert(propagation), { propagation: TransactionPropagation[propagation] })
    }
    await t.rejects(em.transactional(insert('NEVER'), { propagation: TransactionPropagation.NEVER }))
    t.equal(em.isInTransaction(), true)
    throw new Error('roll back')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back' })
  t.same(await labels(), ['NOT_SUPPORTED', 'REQUIRES_NEW'], 'only what asked to be outside is there')
})

onEachDatabase('propagation without commitOnTeardown is MikroORM\'s', manual, async (t, { app, labels }) => {
  app.post('/', async request => {
    const em = request.db
    const insert = (label: string, fails = false) => async (inner: typeof em) => {
      await inner.insert(Item, { label, amount: 0 })
      t.equal(inner.isInTransaction(), !['SUPPORTS', 'NEVER', 'NOT_SUPPORTED'].includes(label), label)
      if (fails) throw new Error('roll back')
    }
    t.equal(em.isInTransaction(), false)
    for (const propagation of ['REQUIRED', 'NESTED', 'REQUIRES_NEW', 'SUPPORTS', 'NEVER', 'NOT_SUPPORTED'] as const) {
      await em.transactional(insert(propagation), { propagation: TransactionPropagation[propagation] })
    }
    await t.rejects(em.transactional(insert('MANDATORY'), { propagation: TransactionPropagation.MANDATORY }))
    await t.rejects(em.transactional(insert('UNKNOWN'), { propagation: 'unknown' as never }))
    await t.rejects(em.transactional(insert('rolled back', true)), { message: 'roll back' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['NESTED', 'NEVER', 'NOT_SUPPORTED', 'REQUIRED', 'REQUIRES_NEW', 'SUPPORTS'])
})

onEachDatabase('em.begin(), em.commit() and em.rollback() without commitOnTeardown', manual, async (t, { app, labels, logs }) => {
  app.post('/', async request => {
    const em = request.db
    await t.rejects(em.commit(), /open transaction is required/)
    await t.rejects(em.rollback(), /open transaction is required/)
    await em.begin()
    em.create(Item, { label: 'a' })
    t.equal(em.isInTransaction(), true)
    await em.commit()
    t.equal(em.isInTransaction(), false)
    await em.begin()
    em.create(Item, { label: 'b' })
    await em.flush()
    await em.rollback()
    await em.begin()
    em.create(Item, { label: 'c' })
    await db.commit()
    em.create(Item, { label: 'd' })
    await db.commit()
    await em.begin()
    await em.insert(Item, { label: 'e', amount: 0 })
    await db.rollback()
    await db.rollback()
    await em.begin()
    await em.insert(Item, { label: 'left open', amount: 0 })
    em.create(Item, { label: 'never flushed' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['a', 'c', 'd'])
  const warning = logs.find(line => line.msg.startsWith('unflushed changes'))
  t.match(warning, { unflushed: { Item: 1 }, reqId: /./ })
})

onEachDatabase('a commit that fails without commitOnTeardown can be rolled back', manual, async (t, { app, labels, orm, kind }) => {
  if (kind === 'sqlite') await orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  app.post('/', async request => {
    const em = request.db
    try {
      await em.begin()
      await em.insert(Item, { label: 'a', amount: 0 })
      if (kind === 'sqlite') await em.getConnection().execute('insert into child (item_id) values (4711)', [], 'run', em.getTransactionContext())
      else await em.insert(Item, { label: 'a', amount: 0 })
      await em.commit()
    } catch {
      await em.rollback()
    }
    return await em.count(Item).then(String)
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, '0')
  t.same(await labels(), [])
})

onEachDatabase('unflushed changes that cannot be counted', manual, async (t, { app, logs }) => {
  app.post('/', async request => {
    request.db.create(Item, { label: 'a' })
    request.db.getUnitOfWork().computeChangeSets = () => { throw new Error('cannot be computed') }
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.match(logs.find(line => line.msg.startsWith('unflushed changes')), { err: { message: 'cannot be computed' } })
})

onEachDatabase('statements of one session that overlap take turns', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const names = ['a', 'b', 'c', 'd']
    await Promise.all(names.map(async label => await request.db.insert(Item, { label, amount: 0 })))
    return await request.db.count(Item).then(String)
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, '4')
  t.same(await labels(), ['a', 'b', 'c', 'd'])
})

onEachDatabase('forks of a session are the user\'s own', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    const fork = request.db.fork()
    t.equal(fork.isInTransaction(), false)
    t.equal(fork.getContext(), fork)
    await fork.count(Item)
    t.equal(await fork.transactional(async em => await em.count(Item)), 0)
    await fork.begin()
    await fork.commit()
    await fork.begin()
    await fork.rollback()
    t.equal(typeof fork.getConnection().execute, 'function')
    t.equal(Reflect.get(request.db.getConnection(), 'connected'), true, 'the session\'s view of the connection has its properties too')
    const sharing = request.db.fork({ keepTransactionContext: true })
    await sharing.insert(Item, { label: 'shared', amount: 0 })
    throw new Error('roll back')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back' })
  t.same(await labels(), [])
})

onEachDatabase('forks of a session outlive it', automatic, async (t, { app, labels, kind }) => {
  const kept: DatabaseSession[] = []
  app.post('/', async request => {
    const fork = request.db.fork()
    await request.db.transactional(async em => await em.count(Item))
    kept.push(fork, fork.fork(), request.db.fork())
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  for (const fork of kept) {
    await fork.begin()
    await fork.insert(Item, { label: 'rolled back', amount: 0 })
    if (kind === 'mysql') {
      await fork.transactional(async em => { await em.insert(Item, { label: em.id + ' beside', amount: 0 }) }, { propagation: TransactionPropagation.REQUIRES_NEW })
    }
    await fork.rollback()
  }
  t.equal((await labels()).length, kind === 'mysql' ? 3 : 0)
})

/** What MikroORM's subscribers are told of transactions from now on. */
function recordTransactions (orm: SqlORM): string[] {
  const events: string[] = []
  const record = (event: string) => async () => { events.push(event) }
  orm.em.getEventManager().registerSubscriber({
    beforeTransactionStart: record('before start'),
    afterTransactionStart: record('after start'),
    beforeTransactionCommit: record('before commit'),
    afterTransactionCommit: record('after commit'),
    beforeTransactionRollback: record('before rollback'),
    afterTransactionRollback: record('after rollback')
  })
  return events
}

onEachDatabase('transactions are told to MikroORM\'s subscribers', automatic, async (t, { app, orm }) => {
  const events = recordTransactions(orm)
  app.post('/ok', async request => request.db.create(Item, { label: 'ok' }))
  app.post('/error', async request => {
    await request.db.insert(Item, { label: 'error', amount: 0 })
    throw new Error('error')
  })
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    request.db.create(Item, { label: 'manual' })
    await request.db.flush()
    return 'ok'
  })
  app.post('/rollback', async request => {
    await request.db.insert(Item, { label: 'rolled back', amount: 0 })
    await db.rollback()
    return 'ok'
  })
  app.get('/nothing', async () => 'nothing')
  await app.inject('/nothing')
  t.same(events.splice(0), [])
  await app.inject({ method: 'POST', url: '/ok' })
  t.same(events.splice(0), ['before start', 'after start', 'before commit', 'after commit'])
  await app.inject({ method: 'POST', url: '/error' })
  t.same(events.splice(0), ['before start', 'after start', 'before rollback', 'after rollback'])
  await app.inject({ method: 'POST', url: '/rollback' })
  t.same(events.splice(0), ['before start', 'after start', 'before rollback', 'after rollback'])
  await app.inject({ method: 'POST', url: '/manual' })
  t.same(events.splice(0), ['before start', 'after start', 'before commit', 'after commit'])
})

onEachDatabase('a flush by hand whose BEGIN fails tells of no rollback, and one whose statement fails does', { plugin: { commitOnTeardown: false, acquireTimeout: 200 }, orm: { pool: { max: 1 } } }, async (t, { app, labels, orm }) => {
  const events = recordTransactions(orm)
  const holding = new Gate()
  const over = new Gate()
  app.get('/hold', async request => await request.db.getKysely().connection().execute(async () => {
    holding.open()
    await over.opened
    return 'held'
  }))
  app.post('/', async request => {
    request.db.create(Item, { id: 77, label: 'flushed' })
    await request.db.flush()
    return 'ok'
  })
  // MikroORM connects, and asks once by how much ids grow.
  const em = orm.em.fork()
  em.create(Item, { label: 'first' })
  await em.flush()
  events.length = 0
  const held = app.inject('/hold')
  await holding.opened
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 503)
  t.same(events.splice(0), ['before start'])
  over.open()
  await held
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(events.splice(0), ['before start', 'after start', 'before commit', 'after commit'])
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  t.same(events.splice(0), ['before start', 'after start', 'before rollback', 'after rollback'])
  t.same(await labels(), ['first', 'flushed'])
})

onEachDatabase('em.transactional() of a subscriber inside a flush, without commitOnTeardown', manual, async (t, { app, labels, orm }) => {
  let isFirst = true
  orm.em.getEventManager().registerSubscriber({
    async afterCreate ({ em }) {
      if (!isFirst) return
      isFirst = false
      await em.transactional(async em => { em.create(Item, { label: 'beside' }) })
    }
  })
  app.post('/', async request => {
    request.db.create(Item, { label: 'flushed' })
    await request.db.flush()
    return 'ok'
  })
  const reply = await app.inject({ method: 'POST', url: '/' })
  t.equal(reply.statusCode, 200, reply.body)
  t.same(await labels(), ['beside', 'flushed'])
})
