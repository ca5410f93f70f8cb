import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'
import { onEachTransport } from '../support/transports.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

for (const [mode, options] of Object.entries({ automatic, manual })) {
  onEachDatabase(`handlerTimeout: rolled back at once, and the handler can write nothing more (${mode})`, options, async (t, { app, labels, listen, assertClean, orm }) => {
    const answered = new Gate()
    const finished = new Gate<unknown[]>()
    app.post('/', { handlerTimeout: 500 }, async request => {
      const session = request.db
      const attempts: unknown[] = []
      const attempt = async (work: () => unknown) => {
        try {
          await work()
          attempts.push('went through')
        } catch (error) {
          attempts.push((error as { code?: string }).code)
        }
      }
      await session.begin()
      session.create(Item, { label: 'before' })
      await session.flush()
      await answered.opened
      await attempt(() => session.create(Item, { label: 'after' }))
      await attempt(() => session.flush())
      await attempt(() => session.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => session.find(Item, {}))
      await attempt(() => session.transactional(async em => await em.insert(Item, { label: 'after', amount: 1 })))
      await attempt(() => session.getConnection().execute("insert into item (label, amount) values ('after', 1)"))
      await attempt(() => orm.em.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => db.session.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => request.db.insert(Item, { label: 'after', amount: 1 }))
      await attempt(() => session.commit())
      finished.open(attempts)
      return 'too late'
    })
    const { origin } = await listen()
    const response = await fetch(origin, { method: 'POST' })
    t.equal(response.status, 503)
    await assertClean()
    answered.open()
    t.same(await finished.opened, Array(10).fill('FST_SCOPED_DB_SCOPE_CLOSED'))
    t.same(await labels(), [])
  })
}

onEachDatabase('handlerTimeout inside a nested transaction', automatic, async (t, { app, labels, listen, assertClean }) => {
  const answered = new Gate()
  const finished = new Gate<unknown>()
  app.post('/', { handlerTimeout: 500 }, async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'nested' })
      await em.flush()
      await answered.opened
      em.create(Item, { label: 'after' })
    }).catch((error: unknown) => finished.open(error))
  })
  const { origin } = await listen()
  t.equal((await fetch(origin, { method: 'POST' })).status, 503)
  await assertClean()
  answered.open()
  t.match(await finished.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  t.same(await labels(), [])
})

onEachDatabase('handlerTimeout while a new transaction beside the own one of the scope is open', { ...automatic, kinds: servers }, async (t, { app, labels, listen, assertClean }) => {
  const answered = new Gate()
  const finished = new Gate<unknown>()
  app.post('/', { handlerTimeout: 500 }, async request => {
    await request.db.transactional(async em => {
      em.create(Item, { label: 'beside' })
      await em.flush()
      await answered.opened
    }, { propagation: 'requires_new' as never }).catch((error: unknown) => finished.open(error))
  })
  const { origin } = await listen()
  t.equal((await fetch(origin, { method: 'POST' })).status, 503)
  await assertClean()
  answered.open()
  t.match(await finished.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  t.same(await labels(), [])
})

onEachTransport('a handlerTimeout does not end a handler that has taken its reply over', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.post('/', { handlerTimeout: 500 }, async (request, reply) => {
    await request.db.insert(Item, { label: 'first', amount: 1 })
    reply.hijack()
    await sleep(700)
    await request.db.insert(Item, { label: 'second', amount: 1 })
    reply.raw.end('done')
  })
  t.match(await transport.request('POST', '/'), { status: 200, body: 'done' })
  await assertClean()
  t.same(await labels(), ['first', 'second'])
})

onEachDatabase('a handlerTimeout during the commit does not take the commit back', automatic, async (t, { app, labels, listen, assertClean, orm }) => {
  const timedOut = new Gate()
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionCommit () { await timedOut.opened } })
  app.addHook('onError', async () => { setImmediate(() => { timedOut.open() }) })
  app.post('/', { handlerTimeout: 500 }, async (request, reply) => {
    request.db.create(Item, { label: 'slow' })
    reply.code(201).header('x-kept', 'yes')
    return { slow: true }
  })
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(response.status, 201)
  t.equal(response.headers.get('x-kept'), 'yes')
  t.same(await response.json(), { slow: true })
  await assertClean()
  t.same(await labels(), ['slow'])
})

onEachDatabase('a handlerTimeout during the flush rolls back', automatic, async (t, { app, labels, listen, assertClean, orm }) => {
  const timedOut = new Gate()
  orm.em.getEventManager().registerSubscriber({ async afterFlush () { await timedOut.opened } })
  app.addHook('onError', async () => { setImmediate(() => { timedOut.open() }) })
  app.post('/', { handlerTimeout: 500 }, async request => request.db.create(Item, { label: 'slow' }))
  const { origin } = await listen()
  const response = await fetch(origin, { method: 'POST' })
  t.equal(response.status, 503)
  t.match(await response.json(), { code: 'FST_ERR_HANDLER_TIMEOUT' })
  await assertClean()
  t.same(await labels(), [])
})
