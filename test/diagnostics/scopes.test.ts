/** The tracing channel of scopes: what has become of each, and why. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { db, type ScopeMessage } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { deadlock } from '../support/retries.ts'
import { Gate } from '../support/signals.ts'
import { eventsOf } from '../support/traces.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const insert = { label: 'a', amount: 0 }

onEachDatabase('requests', automatic, async (t, { app, assertClean }) => {
  const scopes = eventsOf(t, 'scope')
  app.post('/status/:status', async (request, reply) => {
    await request.db.count(Item)
    return await reply.code(Number((request.params as { status: string }).status)).send('ok')
  })
  app.post('/throws', async request => { await request.db.count(Item); throw new Error('thrown') })
  app.post('/doomed', async request => { await request.db.count(Item); db.setRollbackOnly(); return 'ok' })
  app.post('/twice', async request => {
    for (const label of ['same', 'same']) request.db.create(Item, { label })
    return 'text'
  })
  app.post('/slow', { handlerTimeout: 50 }, async request => {
    await request.db.count(Item)
    await new Promise<void>(resolve => { request.signal.addEventListener('abort', () => { resolve() }) })
    return 'too late'
  })
  app.post('/unused', async () => 'ok')
  for (const [url, outcome, reason] of [
    ['/status/200', 'commit', 'status 200'],
    ['/status/409', 'rollback', 'status 409'],
    ['/throws', 'rollback', 'an error was thrown or sent'],
    ['/doomed', 'rollback', 'doomed'],
    ['/slow', 'rollback', 'the time limit of the handler is over']
  ] as const) {
    await app.inject({ method: 'POST', url })
    await assertClean()
    const route = url.replace(/\d+/, ':status')
    t.match(scopes.taken(), [{ event: 'start' }, { event: 'end' }, { event: 'asyncStart' }, { event: 'asyncEnd', message: { scope: { kind: 'request', url }, route, outcome, reason, duration: Number, error: undefined } }], url)
  }
  t.equal((await app.inject({ method: 'POST', url: '/twice' })).statusCode, 500)
  await assertClean()
  t.match(scopes.ended(), [{ outcome: 'rollback', reason: 'its commit has failed', error: { name: 'UniqueConstraintViolationException' } }])
  await app.inject({ method: 'POST', url: '/unused' })
  t.same(scopes.taken(), [], 'a request that uses no database has none')
})

onEachDatabase('a client that leaves', { plugin: { commitOnTeardown: true, cancelOnAbort: true } }, async (t, { app, listen, assertClean }) => {
  const scopes = eventsOf(t, 'scope')
  const arrived = new Gate()
  app.post('/', async request => {
    await request.db.insert(Item, insert)
    arrived.open()
    await new Promise<void>(resolve => { request.signal.addEventListener('abort', () => { resolve() }) })
    return 'ok'
  })
  const { port } = await listen()
  const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  await arrived.opened
  client.leave()
  await assertClean()
  t.match(scopes.ended(), [{ outcome: 'rollback', reason: 'the client has left' }])
})

onEachDatabase('db.run() and db.open()', automatic, async (t, { app }) => {
  const scopes = eventsOf(t, 'scope')
  await app.db.run(async session => await session.count(Item))
  await t.rejects(app.db.run(async () => { throw new Error('thrown') }))
  {
    await using scope = app.db.open()
    await scope.session.insert(Item, insert)
    await scope.commit()
  }
  {
    await using scope = app.db.open()
    await scope.session.insert(Item, { ...insert, label: 'b' })
  }
  t.match(scopes.ended(), [
    { scope: { kind: 'db.run' }, route: undefined, outcome: 'commit', reason: 'db.run() has ended' },
    { scope: { kind: 'db.run' }, outcome: 'rollback', reason: 'db.run() has thrown' },
    { scope: { kind: 'db.open' }, outcome: 'commit', reason: 'by hand' },
    { scope: { kind: 'db.open' }, outcome: 'rollback', reason: 'closed before it had an outcome' }
  ])
})

onEachDatabase('closeTimeout', { plugin: { commitOnTeardown: true, closeTimeout: 50 } }, async (t, { app }) => {
  const scopes = eventsOf(t, 'scope')
  const scope = app.db.open()
  await scope.session.insert(Item, insert)
  await app.close()
  t.match(scopes.ended(), [{ outcome: 'rollback', reason: 'closeTimeout is over' }])
})

onEachDatabase('the attempts of a retry', automatic, async (t, { app, assertClean }) => {
  const scopes = eventsOf(t, 'scope')
  const retry = { attempts: 3, backoff: 1 }
  let attempt = 0
  app.post('/', { config: { db: { retry } } }, async request => {
    // The first uses no database.
    if (++attempt === 1) throw deadlock()
    await request.db.insert(Item, insert)
    if (attempt === 2) throw deadlock()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await assertClean()
  t.match(scopes.ended(), [{ attempt: 1, outcome: 'rollback' }, { attempt: 2, outcome: 'rollback' }, { attempt: 3, outcome: 'commit' }])
  let times = 0
  await app.db.run(async session => {
    await session.count(Item)
    if (++times < 3) throw deadlock()
  }, { retry })
  t.match(scopes.ended(), [{ attempt: 1, outcome: 'rollback' }, { attempt: 2, outcome: 'rollback' }, { attempt: 3, outcome: 'commit' }])
})

onEachDatabase('what is decided is known before it is carried out', automatic, async (t, { app, assertClean }) => {
  const scopes: ScopeMessage[] = []
  const decided: unknown[] = []
  const listeners = { scope: (told: unknown) => { scopes.push(told as ScopeMessage) }, transaction: () => { decided.push(scopes.map(({ outcome, reason }) => [outcome, reason])) } }
  subscribe('tracing:fastify-scoped-db.scope:start', listeners.scope)
  subscribe('tracing:fastify-scoped-db.transaction:asyncEnd', listeners.transaction)
  t.teardown(() => {
    unsubscribe('tracing:fastify-scoped-db.scope:start', listeners.scope)
    unsubscribe('tracing:fastify-scoped-db.transaction:asyncEnd', listeners.transaction)
  })
  app.post('/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    await request.db.insert(Item, { label: status, amount: 0 })
    return await reply.code(Number(status)).send('ok')
  })
  for (const url of ['/200', '/409']) {
    scopes.length = 0
    await app.inject({ method: 'POST', url })
    await assertClean()
  }
  t.same(decided, [[['commit', 'status 200']], [['rollback', 'status 409']]])
})
