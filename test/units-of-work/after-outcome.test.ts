/** Work after the commit or the rollback: once, outside the transaction, and nobody waits for it but the end of the application. */
import Fastify from 'fastify'
import { TransactionPropagation } from '@mikro-orm/core'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db, type Database } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { createDatabase } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

/** Keeps what was done, in its order. Nothing is ever waited for twice: after-work comes in the turn after the outcome. */
function recorder () {
  const done: string[] = []
  return {
    done,
    /** Registers work for either outcome. */
    await: (name: string, database: Pick<Database, 'afterCommit' | 'afterRollback'> = db) => {
      database.afterCommit(() => { done.push(`${name} committed`) })
      database.afterRollback(() => { done.push(`${name} rolled back`) })
    },
    /** What has been done since the last time. */
    async taken (): Promise<string[]> {
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
      return done.splice(0)
    }
  }
}

const post = async ({ app }: Stage, url = '/') => (await app.inject({ method: 'POST', url })).statusCode

onEachDatabase('work after the commit and after the rollback of a request', automatic, async (t, stage) => {
  const { app, labels } = stage
  const works = recorder()
  const found: unknown[] = []
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    const { status } = request.params
    works.await('before the session')
    request.db.create(Item, { label: status })
    works.await('first')
    works.await('second')
    db.afterCommit(async () => {
      t.throws(() => db.session.id, { code: 'FST_SCOPED_DB_NO_SCOPE' }, 'outside the scope')
      found.push(await labels(), await db.run(session => session.count(Item)))
    })
    reply.code(Number(status))
    return 'text'
  })
  app.post('/throws', async request => {
    await request.db.count(Item)
    works.await('thrown')
    throw new Error('thrown')
  })
  t.equal(await post(stage, '/201'), 201)
  t.same(await works.taken(), ['before the session committed', 'first committed', 'second committed'])
  t.equal(await post(stage, '/409'), 409)
  t.same(await works.taken(), ['before the session rolled back', 'first rolled back', 'second rolled back'])
  t.equal(await post(stage, '/throws'), 500)
  t.same(await works.taken(), ['thrown rolled back'])
  await app.close()
  t.same(found, [['201'], 1], 'app.close() has waited for it, and it has seen what was committed')
})

onEachDatabase('a commit that fails is a rollback', automatic, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  await db.run(session => { session.create(Item, { label: 'same' }) })
  app.post('/', async request => {
    works.await('request')
    request.db.create(Item, { label: 'same' })
    return 'text'
  })
  t.equal(await post(stage), 500)
  t.same(await works.taken(), ['request rolled back'])
  await t.rejects(db.run(session => {
    works.await('run')
    session.create(Item, { label: 'same' })
  }))
  t.same(await works.taken(), ['run rolled back'])
})

onEachDatabase('the reply is not delayed, and does not change', automatic, async (t, stage) => {
  const { app, logs } = stage
  const works = recorder()
  const go = new Gate()
  app.post('/', async request => {
    request.db.create(Item, { label: 'a' })
    db.afterCommit(async () => await go.opened)
    db.afterCommit(() => { throw new Error('synchronously') })
    db.afterCommit(async () => { throw new Error('asynchronously') })
    works.await('last')
    return 'text'
  })
  const { origin } = await stage.listen()
  const response = await fetch(origin, { method: 'POST' })
  t.same([response.status, await response.text()], [200, 'text'])
  t.same(await works.taken(), ['last committed'], 'neither an error nor one that hangs stops the others')
  const failures = logs.filter(line => line.msg === 'work after the outcome of a database scope failed')
  t.same(failures.map(({ err }) => (err as Error).message), ['synchronously', 'asynchronously'])
  t.ok(failures.every(line => line['reqId'] !== undefined), 'with the id of the request')
  let isClosed = false
  const closed = app.close().then(() => { isClosed = true })
  await works.taken()
  t.equal(isClosed, false)
  go.open()
  await closed
})

onEachDatabase('what is registered in a nested transaction shares its fate', automatic, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post('/', async request => {
    works.await('outer')
    await request.db.transactional(async () => {
      works.await('released')
      await t.rejects(request.db.transactional(async () => {
        works.await('dropped')
        throw new Error('back')
      }))
      await request.db.transactional(async () => works.await('deeper'))
    })
    await t.rejects(request.db.transactional(async () => {
      await request.db.transactional(async () => works.await('released into what is dropped'))
      throw new Error('back')
    }))
    t.same(await works.taken(), [], 'nothing before the outcome')
    await request.db.transactional(async () => works.await('joined'), { propagation: TransactionPropagation.REQUIRED })
    return 'text'
  })
  t.equal(await post(stage), 200)
  t.same(await works.taken(), ['outer committed', 'released committed', 'deeper committed', 'joined committed'])
})

onEachDatabase('a transaction of its own has an outcome of its own', { ...automatic, kinds: ['mysql'] }, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  const alone = { propagation: TransactionPropagation.REQUIRES_NEW }
  app.post('/', async request => {
    works.await('outer')
    await request.db.transactional(async () => works.await('alone'), alone)
    t.same(await works.taken(), ['alone committed'])
    await t.rejects(request.db.transactional(async () => {
      works.await('alone, too')
      throw new Error('back')
    }, alone))
    t.same(await works.taken(), ['alone, too rolled back'])
    throw new Error('thrown')
  })
  t.equal(await post(stage), 500)
  t.same(await works.taken(), ['outer rolled back'])
})

onEachDatabase('commits and rollbacks by hand', automatic, async (t, stage) => {
  const works = recorder()
  await stage.app.ready()
  await t.rejects(db.run(async session => {
    works.await('first')
    await db.commit()
    t.same(await works.taken(), ['first committed'])
    session.create(Item, { label: 'a' })
    works.await('second')
    await session.commit()
    t.same(await works.taken(), ['second committed'])
    works.await('third')
    await db.rollback()
    t.same(await works.taken(), ['third rolled back'])
    session.create(Item, { label: 'b' })
    works.await('fourth')
    await db.remove()
    t.same(await works.taken(), ['fourth rolled back'])
    works.await('fifth')
    throw new Error('thrown')
  }), { message: 'thrown' })
  t.same(await works.taken(), ['fifth rolled back'])
  await db.run(async () => {
    works.await('doomed')
    db.setRollbackOnly()
    await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  })
  t.same(await works.taken(), ['doomed rolled back'])
})

onEachDatabase('without commitOnTeardown the next commit by hand counts', manual, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post('/', async request => {
    const em = request.db
    works.await('flush')
    em.create(Item, { label: 'a' })
    await em.flush()
    t.same(await works.taken(), ['flush committed'])
    await em.transactional(async () => {
      works.await('transactional')
      em.create(Item, { label: 'b' })
      await em.flush()
      await em.transactional(async () => works.await('nested'))
      await t.rejects(em.transactional(async () => {
        works.await('dropped')
        throw new Error('back')
      }))
      t.same(await works.taken(), [])
    })
    t.same(await works.taken(), ['transactional committed', 'nested committed'])
    await t.rejects(em.transactional(async () => {
      works.await('transactional')
      throw new Error('back')
    }))
    t.same(await works.taken(), ['transactional rolled back'])
    await em.begin()
    works.await('begun')
    await em.flush()
    t.same(await works.taken(), [])
    await em.commit()
    t.same(await works.taken(), ['begun committed'])
    await em.begin()
    works.await('begun')
    await em.rollback()
    t.same(await works.taken(), ['begun rolled back'])
    works.await('db.commit()')
    await db.commit()
    t.same(await works.taken(), ['db.commit() committed'])
    works.await('never committed')
    return 'text'
  })
  t.equal(await post(stage), 200)
  t.same(await works.taken(), ['never committed rolled back'])
})

onEachDatabase('a scope without a session has an outcome, too', automatic, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    works.await(request.params.status)
    t.equal(app.db.hasSession(), false)
    t.equal(app.db.openScopes, 1)
    return await reply.code(Number(request.params.status)).send()
  })
  await post(stage, '/200')
  t.same(await works.taken(), ['200 committed'])
  await post(stage, '/400')
  t.same(await works.taken(), ['400 rolled back'])
  await db.run(async () => works.await('run'))
  t.same(await works.taken(), ['run committed'])
  await db.run(async () => {
    works.await('by hand')
    await db.commit()
    t.same(await works.taken(), ['by hand committed'])
  })
})

onEachDatabase('a scope without a session and without commitOnTeardown commits nothing by itself', manual, async (t, stage) => {
  const works = recorder()
  stage.app.post('/', async () => {
    works.await('request')
    return 'text'
  })
  await post(stage)
  t.same(await works.taken(), ['request rolled back'])
})

onEachDatabase('work after the rollback comes after it, however slow that is', automatic, async (t, stage) => {
  const { app, orm } = stage
  await app.ready()
  const order: string[] = []
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionRollback () { for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate) },
    async afterTransactionRollback () { order.push('rolled back') }
  })
  await t.rejects(db.run(async session => {
    await session.insert(Item, { label: 'never', amount: 0 })
    db.afterRollback(() => { order.push('work') })
    throw new Error('thrown')
  }), { message: 'thrown' })
  while (order.length < 2) await new Promise(setImmediate)
  t.same(order, ['rolled back', 'work'])
})

onEachDatabase('work after the rollback comes after it, although an error is answered while a statement still runs', { ...automatic, kinds: ['mysql'] }, async (t, { app, orm }) => {
  const order: string[] = []
  orm.em.getEventManager().registerSubscriber({ async afterTransactionRollback () { order.push('rolled back') } })
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'never', amount: 0 })
    db.afterRollback(() => { order.push('work') })
    void request.db.execute('select sleep(0.3)')
    await sleep(50)
    throw new Error('at once')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 500)
  order.push('answered')
  await app.close()
  t.same(order, ['answered', 'rolled back', 'work'])
})

onEachDatabase('other ways to end', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post('/hijacked', async (_request, reply) => {
    works.await('hijacked')
    reply.hijack()
    reply.raw.end('done')
  })
  const ended = new Gate()
  app.post('/left', async () => {
    works.await('left')
    client.leave()
    while (app.db.openScopes > 0) await new Promise(setImmediate)
    t.throws(() => works.await('too late'), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    ended.open()
  })
  const { origin, port } = await stage.listen()
  t.equal(await (await fetch(`${origin}/hijacked`, { method: 'POST' })).text(), 'done')
  await stage.assertClean()
  t.same(await works.taken(), ['hijacked committed'])
  const client = await rawClient(port, ['POST /left HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  await ended.opened
  t.same(await works.taken(), ['left rolled back'])
  t.throws(() => db.afterCommit(() => {}), { code: 'FST_SCOPED_DB_NO_SCOPE' })
})

onEachDatabase('nobody knows the outcome: neither is done, and the log says so', { ...automatic, kinds: ['mysql'] }, async (t, stage) => {
  const works = recorder()
  const second = await createDatabase('mysql')
  const { app, orm, proxy } = await proxied(t, second, { commitOnTeardown: true })
  const logs: object[] = []
  app.log.error = (details: object) => { logs.push(details) }
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  await app.ready()
  await t.rejects(app.db.run(async session => {
    works.await('unknown', app.db)
    session.create(Item, { label: 'unknown' })
  }), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.same(await works.taken(), [])
  t.match(logs, [{ dropped: 2, err: { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' } }])
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await second.drop()
  })
  t.same(await stage.labels(), [])
})

onEachDatabase('app.close() waits for work after the outcome, and for what that begins, for closeTimeout', {}, async (t, { database, labels }) => {
  const logs: string[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { logs.push(line) } } } })
  await app.register(scopedDb, { orm: database.options, commitOnTeardown: true, closeTimeout: 300 })
  await app.ready()
  await app.db.run(async () => {
    app.db.afterCommit(async () => {
      await app.db.run(async session => {
        session.create(Item, { label: 'after' })
        app.db.afterCommit(async () => await new Promise(() => {}))
      })
    })
  })
  await app.close()
  t.same(await labels(), ['after'])
  t.match(logs.map(line => JSON.parse(line) as object), [{ msg: /still under way when closeTimeout was over/, afterWorks: 1, closeTimeout: 300 }])
})

onEachDatabase('each database has its own savepoints', automatic, async (t, stage) => {
  const works = recorder()
  await stage.addDatabase('analytics', automatic.plugin)
  const analytics = db.use('analytics')
  await db.run(async session => {
    await t.rejects(analytics.session.transactional(async () => {
      works.await('of analytics', analytics)
      works.await('of default')
      throw new Error('back')
    }))
    await session.transactional(async () => works.await('analytics in default', analytics))
  })
  t.same(await works.taken(), ['of default committed', 'analytics in default committed'])
})
