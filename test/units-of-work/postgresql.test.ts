/** What PostgreSQL does to a connection or a transaction in its own way. */
import { LockMode } from '@mikro-orm/core'
import { once, type EventEmitter } from 'node:events'
import { db } from '../../plugin.ts'
import { nativePool, untilRuns } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true, mapErrors: true }, orm: { pool: { max: 1 } }, kinds: ['postgresql' as const] }
const insert = async (label: string) => { await db.session.insert(Item, { label, amount: 0 }) }

const ownId = async ({ dialect }: Stage) => Number((await db.session.execute<{ id: number }[]>(`select ${dialect.connectionId} as id`))[0]?.id)
const terminate = async ({ database, dialect }: Stage, id: number) => { await database.witness.driver.execute(dialect.kill(id)) }

/** What pg hears from the server on the connection of this name. */
const clientOf = async ({ orm }: Stage, id: number) => {
  const { _clients: clients } = await nativePool(orm) as unknown as { _clients: { processID: number, connection: EventEmitter }[] }
  return (clients.find(({ processID }) => processID === id) as { connection: EventEmitter }).connection
}

/** Terminates the connection as soon as such a statement runs on it. */
const terminateIn = async (stage: Stage, pattern: string) => { for (const id of await untilRuns(stage.database, pattern)) await terminate(stage, id) }

onEachDatabase('a connection that the server terminates is answered, leaves its place, and is not lent again', automatic, async (t, stage) => {
  const { app, assertClean, database, labels } = stage
  // Ends a COMMIT that takes its time.
  await database.witness.driver.execute("create function slowly () returns trigger language plpgsql as 'begin perform pg_sleep(100); return null; end'")
  await database.witness.driver.execute("create constraint trigger slow_commit after insert on item deferrable initially deferred for each row when (new.label = 'slow') execute function slowly()")
  let id = 0
  app.post('/statement', async () => { await insert('a'); await db.session.execute('select pg_sleep(100)') })
  app.post('/stream', async request => {
    await insert('a')
    for await (const row of request.db.getConnection().stream('select n, case when n > 150 then pg_sleep(100) end from generate_series(1, 200) n', [], request.db.getTransactionContext())) Object.keys(row as object)
  })
  app.post('/commit', async () => { await insert('slow') })
  app.post('/idle-in-transaction', async () => { await insert('a'); await terminate(stage, await ownId(stage)); await insert('b') })
  app.post('/told', async () => {
    await insert('a')
    const id = await ownId(stage)
    const ended = once(await clientOf(stage, id), 'errorMessage')
    await terminate(stage, id)
    await ended
    await insert('b')
  })
  app.post('/next', async () => { await insert('next'); id = await ownId(stage); return String(id) })
  await app.ready()
  const post = async (url: string) => await app.inject({ method: 'POST', url })
  const ids = new Set<string>()
  for (const [url, pattern] of [['/statement', 'select pg_sleep%'], ['/stream', 'select n, case%'], ['/commit', 'commit'], ['/idle-in-transaction', undefined], ['/told', undefined]] as const) {
    const answer = post(url)
    if (pattern !== undefined) await terminateIn(stage, pattern)
    const { statusCode } = await answer
    t.equal(statusCode, url === '/commit' ? 500 : 503, url)
    await assertClean()
    t.same(await labels(), [], url)
    const next = await post('/next')
    t.equal(next.statusCode, 200, `after ${url}`)
    ids.add(next.body)
    await database.witness.em.fork().nativeDelete(Item, {})
  }
  await terminate(stage, id)
  const next = await post('/next')
  t.equal(next.statusCode, 200, 'after one that was idle in the pool')
  ids.add(next.body)
  t.equal(ids.size, 6)
})

onEachDatabase('a transaction goes on after a lock that is not free, in a savepoint that is rolled back', { ...automatic, orm: {} }, async (t, { app, database, labels }) => {
  await database.witness.em.fork().insert(Item, { label: 'locked', amount: 0 })
  const [locked, go] = [new Gate(), new Gate()]
  const holder = database.witness.em.fork().transactional(async em => {
    await em.findOneOrFail(Item, { label: 'locked' }, { lockMode: LockMode.PESSIMISTIC_WRITE })
    locked.open()
    await go.opened
  })
  await locked.opened
  const lock = async () => await db.session.transactional(async em => { await em.findOne(Item, { label: 'locked' }, { lockMode: LockMode.PESSIMISTIC_WRITE_OR_FAIL }) })
  app.post('/goes-on', async () => {
    await insert('before')
    await t.rejects(lock(), { code: '55P03' })
    await insert('after')
  })
  app.post('/fails', async () => { await insert('never'); await lock() })
  t.equal((await app.inject({ method: 'POST', url: '/goes-on' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/fails' })).statusCode, 503)
  go.open()
  await holder
  t.same(await labels(), ['after', 'before', 'locked'])
})

onEachDatabase('a constraint that is deferred until COMMIT is a conflict', automatic, async (t, { app, database, labels }) => {
  await database.witness.driver.execute('alter table item add constraint one_amount unique (amount) deferrable initially deferred')
  app.post<{ Params: { label: string } }>('/:label', async request => { await insert(request.params.label) })
  t.equal((await app.inject({ method: 'POST', url: '/a' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/b' })).statusCode, 409)
  t.same(await labels(), ['a'])
})

onEachDatabase('limits of time: of a transaction that does nothing, of a statement, and of pg for an answer', { ...automatic, orm: { pool: { max: 1 }, driverOptions: { query_timeout: 700 } } }, async (t, { app, assertClean, labels }) => {
  app.post('/idle', async () => {
    await insert('idle')
    await db.session.execute("set local idle_in_transaction_session_timeout = '50ms'")
    const { promise, resolve } = Promise.withResolvers<void>()
    setTimeout(resolve, 300)
    await promise
  })
  app.post('/statement', async () => { await insert('statement'); await db.session.execute("set local statement_timeout = '50ms'"); await db.session.execute('select pg_sleep(100)') })
  app.post('/answer', async () => { await insert('answer'); await db.session.execute('select pg_sleep(2)') })
  app.post('/next', async () => { await insert(`next ${(await labels()).length}`) })
  for (const url of ['/idle', '/statement', '/answer']) {
    t.ok((await app.inject({ method: 'POST', url })).statusCode >= 500, url)
    await assertClean()
    t.equal((await app.inject({ method: 'POST', url: '/next' })).statusCode, 200, `after ${url}`)
  }
  t.same(await labels(), ['next 0', 'next 1', 'next 2'])
})

onEachDatabase('a statement that has failed behind the back of the scope is no commit', { plugin: { commitOnTeardown: true }, orm: { pool: { max: 1 } }, kinds: ['postgresql'] }, async (t, { app, orm, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    const { _clients: [client] } = await orm.driver.getConnection().getNativeClient() as { _clients: [{ query (sql: string): Promise<unknown> }] }
    await t.rejects(client.query('select nothing'))
    return 'ok'
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  t.same(await labels(), [])
})
