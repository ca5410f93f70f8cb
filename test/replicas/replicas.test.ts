/** What is `readOnly` reads from a replica, a real one. */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import scopedDb from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { replicatedApp, replications, type Replication, type ReplicatedKind } from '../support/replication.ts'
import { freePort } from '../support/server.ts'
import { isolate } from '../../testing.ts'

const running = await replications(t)
const kinds = Object.keys(running) as ReplicatedKind[]

const port = {
  mysql: "select variable_value as port from information_schema.global_variables where variable_name = 'PORT'",
  postgresql: "select setting as port from pg_settings where name = 'port'"
}

type Session = { execute (sql: string): Promise<unknown> }

/** Which server a session is on. */
async function serverOf (em: Session, { kind, primary, replica }: Replication): Promise<string> {
  const [row] = await em.execute(port[kind]) as { port: string }[]
  const servers = { [new URL(primary.url).port]: 'primary', [new URL(replica.url).port]: 'replica' }
  return servers[String(row?.port)] as string
}

const on = (stage: Stage) => running[stage.kind as ReplicatedKind]
const readOnly = { config: { db: { readOnly: true } } }

/** An address of the same database where nobody listens. */
const nowhere = async (url: string) => url.replace(/\d+$/, String(await freePort()))

/** An application that says where it reads from, and the lines that tell of replicas. */
async function reader (t: Test, stage: Stage, ...[urls, options]: [urls: string[], options?: Parameters<typeof replicatedApp>[3]]) {
  const { app, orm } = await replicatedApp(t, stage, urls, options)
  app.get('/', readOnly, async request => await serverOf(request.db, on(stage)))
  const lines = () => stage.logs.filter(({ msg }) => msg.includes('replica')).map(({ msg, replica, database, lag, maxLag, retryAfter, level }) => ({ msg, replica, database, lag, maxLag, retryAfter, level }))
  return { app, orm, lines, read: async () => (await app.inject('/')).body }
}

const left = (replica: string, more: object) => ({ msg: 'a replica is left out', database: 'replicated', replica: new URL(replica).host, level: 40, ...more })

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`readOnly is on the replica, all else on the primary (commitOnTeardown: ${commitOnTeardown})`, { kinds }, async (t, stage) => {
    const { replica, caughtUp } = on(stage)
    const { app } = await reader(t, stage, [replica.url], { commitOnTeardown, replicas: {} })
    app.get('/count', readOnly, async request => await request.db.count(Item))
    app.get('/other', async request => [await serverOf(request.db, on(stage)), await request.db.createQueryBuilder(Item).getCount()])
    app.post('/', async request => {
      request.db.create(Item, { label: 'new' })
      await request.db.flush()
      return await serverOf(request.db, on(stage))
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'primary')
    await caughtUp()
    t.equal((await app.inject('/')).body, 'replica')
    t.equal((await app.inject('/count')).json(), 1)
    t.same((await app.inject('/other')).json(), ['primary', 1])
    t.equal(await app.db.run(async session => await serverOf(session, on(stage)), { readOnly: true }), 'replica')
    t.equal(await app.db.run(async session => await serverOf(session, on(stage))), 'primary')
  })
}

onEachDatabase('a transaction on the replica is read-only, and the database says so', { kinds }, async (t, stage) => {
  const { replica, caughtUp } = on(stage)
  const { app } = await reader(t, stage, [replica.url])
  await caughtUp()
  app.get('/transaction', { config: { db: { readOnly: true, begin: 'statement', isolationLevel: 'repeatable read' } } }, async request => {
    const before = await request.db.count(Item)
    await app.db.run(async session => { await session.insert(Item, { label: `label ${before}`, amount: 0 }) })
    await caughtUp()
    return [await serverOf(request.db, on(stage)), before, await request.db.count(Item)]
  })
  app.get('/nested', readOnly, async request => await request.db.transactional(async em => await serverOf(em, on(stage)), { propagation: 'requires_new' as never }))
  app.get('/write', readOnly, async request => { await request.db.insert(Item, { label: 'never', amount: 0 }) })
  t.same((await app.inject('/transaction')).json(), ['replica', 0, 0], 'one snapshot')
  t.equal((await app.inject('/nested')).body, 'replica')
  t.match((await app.inject('/write')).json(), { code: 'FST_SCOPED_DB_READ_ONLY' })
})

onEachDatabase('one replica for the whole scope, and all of them in turn', { kinds }, async (t, stage) => {
  const { primary, replica, caughtUp } = on(stage)
  await caughtUp()
  // MikroORM takes the primary's address for a replica's as well.
  const { app } = await reader(t, stage, [replica.url, primary.url])
  app.get('/many', readOnly, async request => {
    const servers = await Promise.all(Array.from({ length: 5 }, async () => await serverOf(request.db, on(stage))))
    return [...new Set([...servers, await serverOf(request.db, on(stage))])]
  })
  const answers = await Promise.all(Array.from({ length: 40 }, async () => (await app.inject('/many')).json<string[]>()))
  t.same(new Set(answers.map(answer => answer.length)), new Set([1]))
  t.same(new Set(answers.flat()), new Set(['primary', 'replica']))
})

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`a replica that is down is left out, with one line, and the primary serves (commitOnTeardown: ${commitOnTeardown})`, { kinds }, async (t, stage) => {
    const down = await nowhere(on(stage).replica.url)
    const { read, lines, app } = await reader(t, stage, [down], { commitOnTeardown, replicas: { retryAfter: 1 } })
    app.get('/transaction', readOnly, async request => await request.db.transactional(async em => await serverOf(em, on(stage))))
    t.equal((await app.inject('/transaction')).body, 'primary')
    t.same(await Promise.all([read(), read(), read()]), ['primary', 'primary', 'primary'])
    for (let n = 0; n < 5; n++) {
      await sleep(10)
      t.equal(await read(), 'primary')
    }
    t.match(lines(), [left(down, { retryAfter: 1 })])
    t.equal(lines().length, 1, 'however often it is tried again')
  })
}

onEachDatabase('one that is down and one that is not', { kinds }, async (t, stage) => {
  const { replica, caughtUp } = on(stage)
  await caughtUp()
  const down = await nowhere(replica.url)
  const { read, lines } = await reader(t, stage, [down, replica.url], { replicas: { maxLag: 60_000 } })
  const answers = []
  for (let n = 0; n < 20; n++) answers.push(await read())
  t.same(new Set(answers), new Set(['replica']))
  t.match(lines(), [left(down, { retryAfter: 10_000, lag: undefined })])
})

onEachDatabase('a replica that lags too far is left out, until it has caught up', { kinds }, async (t, stage) => {
  const { replica, pause, resume, caughtUp } = on(stage)
  await caughtUp()
  const { app, read, lines } = await reader(t, stage, [replica.url], { replicas: { maxLag: 1_000, retryAfter: 20 } })
  t.equal(await read(), 'replica')
  await pause()
  try {
    await app.db.run(async session => { await session.insert(Item, { label: 'later', amount: 0 }) })
    for (let n = 0; n < 500 && await read() === 'replica'; n++) await sleep(10)
    t.equal(await read(), 'primary')
    t.match(lines(), [left(replica.url, { maxLag: 1_000, retryAfter: 20 })])
  } finally {
    await resume()
  }
  await caughtUp()
  for (let n = 0; n < 500 && await read() === 'primary'; n++) await sleep(10)
  t.equal(await read(), 'replica')
  t.match(lines().at(-1), { msg: 'a replica serves again', level: 30, replica: new URL(replica.url).host })
  t.equal(lines().length, 2)
})

onEachDatabase('what is no replica does not say how far it lags', { kinds }, async (t, stage) => {
  const { primary } = on(stage)
  const { read, lines } = await reader(t, stage, [primary.url], { replicas: { maxLag: 1_000 } })
  t.equal(await read(), 'primary')
  t.match(lines(), [left(primary.url, { lag: undefined })])
})

onEachDatabase('replicas that cannot say how far they lag are refused at start', { kinds: ['sqlite', ...kinds.filter(kind => kind === 'mysql')] }, async (t, stage) => {
  const { database } = stage
  const { dbName } = database.options
  if (stage.kind === 'mysql') {
    for (const sql of [`create user ${dbName}@'127.0.0.1'`, `grant all on ${dbName}.* to ${dbName}@'127.0.0.1'`]) await database.witness.driver.execute(sql)
    await on(stage).caughtUp()
  }
  const url = stage.kind === 'mysql' ? on(stage).replica.url.replace('root', String(dbName)) : undefined
  const orm = await database.connect({ replicas: [{ name: 'replica', ...url !== undefined && { clientUrl: url, dbName } }] } as never)
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await orm.close()
  })
  const why = stage.kind === 'mysql' ? /takes replicas that say how far they lag, got one of "other" that refuses to/ : /takes a database whose replicas can be asked, got "other"/
  await t.rejects(async () => { await app.register(scopedDb, { orm, name: 'other', replicas: { maxLag: 1 } }) }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: why })
})

onEachDatabase('a test that is isolated reads what it has written', { kinds }, async (t, stage) => {
  const { app, read } = await reader(t, stage, [on(stage).replica.url])
  await on(stage).caughtUp()
  app.get('/count', readOnly, async request => await request.db.count(Item))
  const isolation = await isolate(app)
  await app.db.run(async session => { await session.insert(Item, { label: 'isolated', amount: 0 }) })
  t.equal((await app.inject('/count')).json(), 1)
  t.equal(await read(), 'primary')
  await isolation.release()
  t.equal(await read(), 'replica')
})
