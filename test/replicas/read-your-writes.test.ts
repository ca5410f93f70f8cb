/** A client reads what it has written, although replicas lag: on a real primary and a real replica. */
import type { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify from 'fastify'
import { createHmac } from 'node:crypto'
import t from 'tap'
import scopedDb from '../../plugin.ts'
import { createDatabase } from '../support/databases.ts'
import { check, typeErrors } from '../support/doc-modules.ts'
import { rewrite } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { fencesOf } from '../support/fences.ts'
import { onEachDatabase, type LogLine, type Stage } from '../support/on-each-database.ts'
import { startRelay } from '../support/relay.ts'
import { replicatedApp, replications, type ReplicatedKind } from '../support/replication.ts'
import { staleReads } from '../support/stale-reads.ts'
import { freePort } from '../support/server.ts'

const withoutLog = process.env['MYSQL_URL']
const running = await replications(t)
const kinds = Object.keys(running) as ReplicatedKind[]

const on = (stage: Stage) => running[stage.kind as ReplicatedKind]
const secret = 'a secret of the tests'
const header = 'x-position'
const readOnly = { config: { db: { readOnly: true } } }

type Options = Parameters<typeof replicatedApp>[3]

/** An application, and a client of it that sends what it was told last. */
async function clientOf (t: Parameters<typeof replicatedApp>[0], stage: Stage, options: Options = {}) {
  await on(stage).caughtUp()
  const { app, orm } = await replicatedApp(t, stage, [on(stage).replica.url], { readYourWrites: { header, secret, maxWait: 100 }, ...options })
  app.post('/:label', async request => { await request.db.persist(request.db.create(Item, { label: (request.params as { label: string }).label })).flush() })
  app.get('/count', readOnly, async request => await request.db.count(Item))
  const count = async (position?: unknown) => (await app.inject({ url: '/count', headers: position === undefined ? {} : { [header]: position as string } })).json<number>()
  const write = async (url: string) => (await app.inject({ method: 'POST', url })).headers[header]
  return { app, orm, count, write }
}

/** Signed as the application does, with any secret, for any database. */
function signed (position: string, by = secret, database = 'replicated'): string {
  return `${position}.${createHmac('sha256', by).update(JSON.stringify([database, position])).digest('base64url')}`
}

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`a client with a position reads what it has written, one without may not (commitOnTeardown: ${commitOnTeardown})`, { kinds }, async (t, stage) => {
    const { count, write } = await clientOf(t, stage, { commitOnTeardown })
    const { pause, resume, caughtUp } = on(stage)
    await pause()
    const position = await write('/one')
    try {
      t.equal(await count(), 0, 'the replica is behind')
      t.equal(await count(position), 1)
      for (const bad of ['', 'nonsense', String(position).slice(1), `${position}x`, signed('nonsense'), signed(String(position).split('.')[0] ?? '', 'another secret of others'), signed(String(position).split('.')[0] ?? '', secret, 'another')]) t.equal(await count(bad), 0, `ignored: ${bad}`)
    } finally {
      await resume()
    }
    await caughtUp()
    t.equal(await count(position), 1)
    t.equal(await count(), 1)
  })
}

onEachDatabase('it waits for the replica, and no longer than it may', { kinds }, async (t, stage) => {
  const { app, write, count } = await clientOf(t, stage, { readYourWrites: { header, secret, maxWait: 60_000 } })
  const { pause, resume } = on(stage)
  await pause()
  const position = await write('/one')
  const waiting = Promise.all([count(position), count(position), count(position)])
  await resume()
  t.same(await waiting, [1, 1, 1])
  t.equal(app.db.pool.inUse.size, 0)
})

onEachDatabase('with a cookie', { kinds }, async (t, stage) => {
  const { app, count } = await clientOf(t, stage, { readYourWrites: { cookie: 'written', secret, maxWait: 50 } })
  await on(stage).pause()
  try {
    const { headers } = await app.inject({ method: 'POST', url: '/one' })
    const [, cookie = ''] = /^(written=[^;]+); Path=\/; HttpOnly; SameSite=Lax$/.exec(String(headers['set-cookie'])) ?? []
    t.equal(headers[header], undefined)
    const { headers: others } = await app.inject({ url: '/count', headers: { cookie } })
    t.equal(others['set-cookie'], undefined, 'what only reads tells of nothing')
    t.equal((await app.inject({ url: '/count', headers: { cookie: `other=1; ${cookie}` } })).json(), 1)
    t.equal((await app.inject({ url: '/count', headers: { cookie: 'other=1' } })).json(), 0)
    t.equal(await count(), 0)
  } finally {
    await on(stage).resume()
  }
})

onEachDatabase('each commit of the request tells its position, whatever comes of the rest', { kinds }, async (t, stage) => {
  const { app, write } = await clientOf(t, stage, { readYourWrites: { header, cookie: 'written', secret } })
  const insert = async (em: SqlEntityManager, label: string) => { await em.insert(Item, { label, amount: 0 }) }
  app.post('/nothing', async () => 'ok')
  app.post('/rollback', async (request, reply) => {
    await insert(request.db, 'rolled back')
    return await reply.code(409).send()
  })
  app.post('/by-hand', async (request, reply) => {
    await insert(request.db, 'by hand')
    await app.db.commit()
    return await reply.code(409).send()
  })
  app.post('/beside', async (request, reply) => {
    await Promise.all(['beside 1', 'beside 2'].map(async label => { await request.db.transactional(async em => { await insert(em, label) }, { propagation: 'requires_new' as never }) }))
    return await reply.code(409).send()
  })
  app.post('/locked', async request => { await request.db.execute('select * from item for update') })
  app.post('/unsendable', async request => {
    await insert(request.db, 'unsendable')
    await app.db.commit()
    return { get bad () { throw new Error('cannot be serialized') } }
  })
  app.post('/fails', async (request, reply) => {
    await insert(request.db, 'fails')
    await app.db.commit()
    await insert(request.db, 'again')
    await reply.code(200).header('x-bad', 'ok').send(new ReadableStream({ start (controller) { controller.error(new Error('no first byte')) } }))
  })
  for (const url of ['/nothing', '/rollback']) t.equal(await write(url), undefined, url)
  const positions = []
  for (const url of ['/by-hand', '/beside', '/unsendable', '/fails']) positions.push(await write(url))
  t.equal(new Set(positions).size, 4)
  t.ok(positions.every(position => typeof position === 'string'))
  const { headers: { 'set-cookie': cookie } } = await app.inject({ method: 'POST', url: '/another' })
  t.equal([cookie].flat().length, 1)
  // It may have written, and has not: nothing older is told than what the client knows.
  const told = await write('/locked')
  if (stage.kind === 'mysql') t.equal(told, undefined)
})

onEachDatabase('a client without a position has nothing more sent to the replica', { kinds: kinds.filter(kind => kind === 'mysql') }, async (t, stage) => {
  const { count, orm } = await clientOf(t, stage)
  await count()
  const replica = orm.driver.getConnection('read')
  const selects = async () => Number((await replica.execute<{ Value: string }[]>("show global status like 'Com_select'"))[0]?.Value)
  const before = await selects()
  for (let n = 0; n < 10; n++) await count()
  t.equal(await selects() - before, 10)
})

onEachDatabase('a position that never comes is not waited for for ever', { kinds }, async (t, stage) => {
  const { count } = await clientOf(t, stage, { readYourWrites: { header, secret, maxWait: 20 } })
  t.equal(await count(signed(stage.kind === 'mysql' ? '0-1-999999999' : 'FFFFFFF/0')), 0)
  t.equal(await count(signed(stage.kind === 'mysql' ? '7-1-1' : 'FFFFFFF/0')), 0)
})

onEachDatabase('a replica that does not say how far it is is not waited for any longer', { kinds }, async (t, stage) => {
  let isSilent = false
  const relay = await startRelay(on(stage).replica.url, (client, upstream) => {
    client.pipe(upstream)
    upstream.on('data', data => { if (!isSilent) client.write(data) })
  })
  await on(stage).caughtUp()
  const { app } = await replicatedApp(t, stage, [relay.url], { acquireTimeout: 30_000, readYourWrites: { header, secret, maxWait: 50 } })
  app.post('/', async request => { await request.db.insert(Item, { label: 'one', amount: 0 }) })
  app.get('/', readOnly, async request => await request.db.count(Item))
  t.equal((await app.inject('/')).json(), 0)
  const { headers } = await app.inject({ method: 'POST', url: '/' })
  isSilent = true
  t.equal((await app.inject({ url: '/', headers: { [header]: headers[header] as string } })).json(), 1, 'the primary serves')
  // What leads nowhere cannot be closed in good order.
  await relay.stop()
})

onEachDatabase('where positions are not told it is refused at start', { kinds: ['sqlite', ...kinds] }, async (t, stage) => {
  const register = async (more: object, change?: (sql: string) => string) => {
    const orm = await stage.database.connect({ replicas: [{ name: 'replica' }], ...more } as never)
    if (change !== undefined) await rewrite(orm, change)
    const app = Fastify()
    t.teardown(async () => {
      await app.close()
      await orm.close(true)
    })
    await app.register(scopedDb, { orm, name: 'other', acquireTimeout: 100, readYourWrites: { header, secret } })
  }
  const refused = { code: 'FST_SCOPED_DB_INVALID_OPTION', message: 'fastify-scoped-db: the option "readYourWrites" takes a database that tells the position of a commit, got "other", which does not' }
  if (stage.kind === 'sqlite') await t.rejects(register({}), refused)
  else await t.rejects(register({ clientUrl: new URL(`:${await freePort()}`, 'http://127.0.0.1').href.replace('http', stage.kind).replace('//', '//root@') }), { code: 'FST_SCOPED_DB_CANNOT_CONNECT' })
  if (stage.kind !== 'sqlite') await t.rejects(register({}, sql => /^begin not atomic|^commit; /.test(sql) ? 'nonsense' : sql), { ...refused, cause: { message: /nonsense/ } }, 'a server that knows no such statement')
  if (stage.kind === 'postgresql') {
    await on(stage).caughtUp()
    await t.rejects(register({ clientUrl: on(stage).replica.url }), refused, 'a standby has none')
  }
  if (stage.kind === 'mysql' && withoutLog) {
    const own = process.env['MYSQL_URL']
    process.env['MYSQL_URL'] = withoutLog
    const other = await createDatabase('mysql')
    process.env['MYSQL_URL'] = own
    t.teardown(() => other.drop())
    await t.rejects(register({ clientUrl: withoutLog, dbName: other.options.dbName }), refused)
  }
})

onEachDatabase('what is no replica has applied nothing', { kinds }, async (t, stage) => {
  const { app } = await replicatedApp(t, stage, [on(stage).primary.url], { readYourWrites: { header, secret, maxWait: 10 } })
  app.post('/', async request => { await request.db.insert(Item, { label: 'one', amount: 0 }) })
  app.get('/', readOnly, async request => await request.db.count(Item))
  const { headers } = await app.inject({ method: 'POST', url: '/' })
  t.equal((await app.inject({ url: '/', headers: { [header]: headers[header] as string } })).json(), 1)
})

onEachDatabase('a user who may not ask for positions is refused at start', { kinds: kinds.filter(kind => kind === 'postgresql') }, async (t, { database }) => {
  const user = `${database.options.dbName}_user`
  for (const sql of [`create role ${user} login`, 'revoke execute on function pg_current_wal_insert_lsn() from public']) await database.witness.driver.execute(sql)
  const orm = await database.connect({ user, replicas: [{ name: 'replica' }] } as never)
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await database.witness.driver.execute(`drop role ${user}`)
  })
  await t.rejects(async () => { await app.register(scopedDb, { orm, name: 'other', readYourWrites: { header, secret } }) }, { code: 'FST_SCOPED_DB_INVALID_OPTION', cause: { code: '42501' } })
})

onEachDatabase('a commit whose position cannot be told is a commit', { kinds: kinds.filter(kind => kind === 'postgresql') }, async (t, { database, logs }) => {
  const user = `${database.options.dbName}_user`
  const { witness } = database
  for (const sql of [`create role ${user} login`, `grant all on item to ${user}`, `grant all on all sequences in schema public to ${user}`]) await witness.driver.execute(sql)
  const orm = await database.connect({ user, replicas: [{ name: 'replica' }] } as never)
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { logs.push(JSON.parse(line) as LogLine) } } } })
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await witness.driver.execute(`drop owned by ${user}`)
    await witness.driver.execute(`drop role ${user}`)
  })
  await app.register(scopedDb, { orm, name: 'other', commitOnTeardown: true, readYourWrites: { header, secret } })
  app.post('/', async request => { await request.db.insert(Item, { label: 'one', amount: 0 }) })
  await witness.driver.execute('revoke execute on function pg_current_wal_insert_lsn() from public')
  const { statusCode, headers } = await app.inject({ method: 'POST', url: '/' })
  t.equal(statusCode, 200)
  t.equal(await witness.em.fork().count(Item), 1)
  t.equal(headers[header], undefined)
  t.match(logs.find(({ err }) => err !== undefined)?.err, { message: /its position was not told/, stack: /permission denied for function pg_current_wal_insert_lsn/ })
})

onEachDatabase('without replicas there is nothing to wait for, and nothing is told', {}, async (t, stage) => {
  const orm = await stage.database.connect()
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await orm.close()
  })
  await app.register(scopedDb, { orm, name: 'other', commitOnTeardown: true, replicas: { maxLag: 1 }, readYourWrites: { header, secret } })
  app.post('/', async request => { await request.db.insert(Item, { label: 'one', amount: 0 }) })
  const { statusCode, headers } = await app.inject({ method: 'POST', url: '/' })
  t.equal(statusCode, 200)
  t.equal(headers[header], undefined)
})

for (const kind of kinds) {
  void t.test(`of many reads none is stale [${kind}]`, async t => {
    const load = { reads: 200, clients: 8, lag: 30 }
    const { fromReplica, ...seen } = await staleReads(running[kind], true, load)
    t.same(seen, { reads: 200, stale: 0 })
    t.not(fromReplica, 0, 'and the replica serves some of them')
    const { stale } = await staleReads(running[kind], false, load)
    t.not(stale, 0, 'without it some are')
  })
}

void t.test('the example of docs/replicas.md', { skip: !('postgresql' in running) }, async t => {
  const { primary, replica, caughtUp, pause, resume } = running.postgresql
  const database = await createDatabase('postgresql')
  t.teardown(() => database.drop())
  await caughtUp()
  for (const [name, { url }] of Object.entries({ PRIMARY_URL: primary, REPLICA_URL: replica })) process.env[name] = `${url}/${database.options.dbName}`
  const fences = fencesOf('docs/replicas.md').filter(({ needs }) => needs === 'replicas')
  const folder = t.testdir()
  t.same(typeErrors(fences, folder), [])
  t.equal(fences.length, 1)
  for (const fence of fences) {
    await check(t, fence, folder, async (t, { app, orm }) => {
      await orm.schema.create()
      await caughtUp()
      await pause()
      try {
        const { headers } = await app.inject({ method: 'POST', url: '/users', payload: { name: 'Ada' } })
        const cookie = String(headers['set-cookie']).split(';')[0] as string
        t.same((await app.inject({ url: '/users', headers: { cookie } })).json(), [{ id: 1, name: 'Ada' }])
        t.same((await app.inject('/users')).json(), [])
      } finally {
        await resume()
      }
    })
  }
})
