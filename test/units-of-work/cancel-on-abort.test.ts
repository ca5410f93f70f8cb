import { setTimeout as sleep } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { postAndLeave, rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { running, untilRuns } from '../support/dialect.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

for (const beginWithFirst of [true, false]) {
  onEachDatabase(`a first statement that is cancelled is told so (beginWithFirst: ${beginWithFirst})`, { plugin: { commitOnTeardown: true, cancelOnAbort: true, beginWithFirst }, kinds: servers }, async (t, { app, kind, listen, assertClean, database, dialect }) => {
    const text = `select ${dialect.sleep(60)}`
    const failed = new Gate<unknown>()
    app.post('/', async request => {
      await request.db.execute(text).then(() => failed.open('it ended by itself'), (error: unknown) => failed.open(error))
    })
    const { port } = await listen()
    const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
    await untilRuns(database, `%${text}%`)
    client.leave()
    t.match(await failed.opened, { code: { mysql: 'ER_QUERY_INTERRUPTED', postgresql: '57014', sqlite: '' }[kind] })
    await assertClean()
  })
}

for (const method of ['GET', 'POST'] as const) {
  onEachDatabase(`cancelOnAbort cancels what runs and rolls back (${method})`, { plugin: { commitOnTeardown: true, cancelOnAbort: true }, kinds: servers }, async (t, stage) => {
    const { app, labels, listen, assertClean, database, dialect } = stage
    const text = `select ${dialect.sleep(60)}`
    const failed = new Gate<unknown>()
    app.route({
      method,
      url: '/',
      async handler (request) {
        // A POST has begun its transaction by then; the read of a GET is outside.
        if (method === 'POST') await request.db.insert(Item, { label: 'inside', amount: 0 })
        await request.db.execute(text).then(() => failed.open('it ended by itself'), (error: unknown) => failed.open(error))
      }
    })
    const { port } = await listen()
    const client = await rawClient(port, [`${method} / HTTP/1.1`, 'Host: localhost', 'Content-Length: 0', '', ''])
    await untilRuns(database, text)
    client.leave()
    t.not(await failed.opened, 'it ended by itself')
    await assertClean()
    t.same(await running(database, text), [])
    t.same(await labels(), [])
  })
}

/** Repeats `attempt` until it fails. */
async function firstError (attempt: () => unknown): Promise<unknown> {
  try {
    for (;;) {
      await attempt()
      await sleep(10)
    }
  } catch (error) {
    return error
  }
}

onEachDatabase('cancelOnAbort where no statement runs', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, labels, listen, assertClean, logs }) => {
  const arrived = new Gate()
  const refused = new Gate<unknown>()
  app.post('/', async request => {
    const session = request.db
    await session.insert(Item, { label: 'inside', amount: 0 })
    arrived.open()
    refused.open(await firstError(() => session.flush()))
    return 'nobody listens'
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  t.match(await refused.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await assertClean()
  t.same(await labels(), [])
  t.same(logs.filter(({ level }) => level > 30), [], 'nobody is told, since nobody is there')
})

onEachDatabase('cancelOnAbort leaves a commit alone that is under way', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, orm, labels, listen, assertClean }) => {
  const arrived = new Gate()
  const gone = new Gate()
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionCommit () {
      arrived.open()
      await gone.opened
    }
  })
  app.post('/', async (request, reply) => {
    // Listeners are called in their order, and the plugin's is there with the session.
    await request.db.insert(Item, { label: 'committed', amount: 0 })
    reply.raw.once('close', () => { gone.open() })
    return 'ok'
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await gone.opened
  await assertClean()
  t.same(await labels(), ['committed'])
})

onEachDatabase('cancelOnAbort where the session was removed', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, labels, listen, assertClean }) => {
  const arrived = new Gate()
  const refused = new Gate<unknown>()
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'removed', amount: 0 })
    await db.remove()
    arrived.open()
    // Makes no session.
    refused.open(await firstError(() => db.commit()))
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  t.match(await refused.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await assertClean()
  t.same(await labels(), [])
})
