/** BEGIN travels with the first statement: what it saves, and that nothing else is different. */
import type { TransactionEventArgs } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import type { Test } from 'tap'
import { Silence } from '../../lib/transaction/silence.ts'
import scopedDb, { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { startServer } from '../support/mariadb.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { startRelay } from '../support/relay.ts'
import { eventsOf } from '../support/traces.ts'

const automatic = { commitOnTeardown: true }
const apart = { db: { beginWithFirst: false } }

let labels = 0

/** No label is there twice. */
const newLabel = () => `item ${++labels}`

/** Whether the server takes both in one message: MySQL has no compound statements. */
async function combines ({ kind, orm }: Stage): Promise<boolean> {
  const [row] = await orm.driver.execute<{ version: string }[]>('select version() as version')
  return kind === 'postgresql' || row?.version.includes('MariaDB') === true
}

/** An application that inserts, whose statements are seen as they are sent. */
async function watched (t: Test, { database }: Stage, addRoutes: (app: FastifyInstance) => void = () => {}) {
  const { app, proxy, orm } = await proxied(t, database, { ...automatic, acquireTimeout: 2_000 }, { pool: { max: 1 } })
  addRoutes(app)
  const insert = async () => { db.session.create(Item, { label: newLabel(), amount: 1 }) }
  app.post('/', insert)
  app.post('/apart', { config: apart }, insert)
  app.post('/by-hand', { config: { db: { commitOnTeardown: false } } }, async request => {
    await insert()
    await request.db.flush()
  })
  app.post('/read', async () => await db.session.findAll(Item))
  const asked: string[] = []
  proxy.react = sql => { if (/connection_id|pg_backend_pid/.test(sql)) asked.push(sql); return undefined }
  await app.inject({ method: 'POST', url: '/' })
  await orm.em.fork().nativeDelete(Item, {})
  const post = async (url: string) => (await app.inject({ method: 'POST', url })).statusCode
  const sent = async (url: string) => {
    const seen: string[] = []
    proxy.react = sql => { seen.push(sql.toLowerCase()); return undefined }
    t.equal(await post(url), 200, url)
    proxy.react = () => undefined
    return seen
  }
  return { app, proxy, orm, post, sent, asked }
}

onEachDatabase('a write takes two round trips, and three with beginWithFirst: false', { kinds: servers }, async (t, stage) => {
  const { sent, asked } = await watched(t, stage)
  t.equal(asked.length, 1, 'a new connection is asked for its name')
  const isCombined = await combines(stage)
  for (const url of ['/', '/by-hand']) {
    const together = await sent(url)
    t.equal(together.length, isCombined ? 2 : 3, url)
    t.match(together[0], isCombined ? /begin[^]*insert into/ : /^begin$/)
    t.equal(together.at(-1), 'commit')
  }
  t.equal((await sent('/read')).length, isCombined ? 2 : 3)
  t.match(await sent('/apart'), [/^begin$/, /^insert into/, /^commit$/])
})

onEachDatabase('it is told of as three statements, whose texts and kinds are as before', { kinds: servers, plugin: automatic, orm: { debug: ['query'], colors: false } }, async (t, stage) => {
  const { app, orm } = stage
  const lines: string[] = []
  orm.config.getLogger().log = (_, message) => { lines.push(message) }
  const statements = eventsOf(t, 'statement')
  const transactions = eventsOf(t, 'transaction')
  const create = async () => { db.session.create(Item, { label: newLabel(), amount: 1 }) }
  app.post('/', create)
  app.post('/apart', { config: apart }, create)
  const told = async (url: string) => {
    lines.length = 0
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 200)
    return {
      statements: statements.ended().map(({ sql, kind, inTransaction, rows }) => ({ sql: sql.replace(/item \d+/, 'item'), kind, inTransaction, rows })),
      transactions: transactions.ended().map(({ outcome }) => outcome),
      lines: lines.map(line => line.replace(/\[took.*/, '').replace(/item \d+/, 'item'))
    }
  }
  await told('/')
  const together = await told('/')
  t.same(together.statements.map(({ kind, rows }) => [kind, rows]), [['control', undefined], ['write', 1], ['control', undefined]])
  t.same(together, await told('/apart'))
  await app.inject({ method: 'POST', url: '/' })
  const [begin, insert] = statements.ended()
  t.ok(Number(insert?.duration) > 0)
  if (await combines(stage)) t.equal(begin?.duration, 0, 'the time is that of the statement')
})

onEachDatabase('an answer that is lost, or never sent, leaves nothing behind, and another connection is taken', { kinds: servers }, async (t, stage) => {
  const { proxy, post } = await watched(t, stage)
  const isCombined = await combines(stage)
  for (const reaction of ['cut before', 'cut after', 'strand'] as const) {
    let cuts = 0
    proxy.react = sql => (isCombined ? /begin[^]*insert/i : /^begin$/i).test(sql) && ++cuts === 1 ? reaction : undefined
    t.equal(await post('/'), 200, reaction)
    proxy.react = () => undefined
    t.equal(cuts, isCombined && reaction !== 'strand' ? 1 : 2, 'after an error BEGIN proves the connection; after a silence it has told its name')
  }
  t.equal((await stage.labels()).length, 3)
})

onEachDatabase('a server that is slow to answer is no lost one', { kinds: servers }, async (t, { database }) => {
  // Longer than the eighth of acquireTimeout that a connection may be silent which has answered before.
  const relay = await startRelay(String(database.options.clientUrl), (client, upstream) => {
    client.pipe(upstream)
    upstream.on('data', data => { setTimeout(() => client.write(data), 300) })
  })
  const orm = await database.connect({ clientUrl: relay.url })
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await relay.stop()
    await orm.close()
  })
  await app.register(scopedDb, { orm, name: 'slow', ...automatic, acquireTimeout: 2_000 })
  app.post('/', async () => { await db.session.execute("insert into item (label, amount) values ('slow', 1)") })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
})

onEachDatabase('behind a balancer nobody is taken for lost because of what another server says', { kinds: ['mysql'] }, async (t, stage) => {
  const { database, dialect } = stage
  const { clientUrl, dbName } = database.options
  const other = await combines(stage) ? await startServer() : undefined
  if (other === undefined) { t.comment('there is no second MariaDB'); return }
  const connection = await createConnection(other.url)
  await connection.query(`create database \`${dbName}\``)
  await connection.end()
  const relay = await startRelay(String(clientUrl), (client, upstream) => {
    client.pipe(upstream)
    upstream.pipe(client)
  }, other.url)
  const orm = await database.connect({ clientUrl: relay.url, pool: { max: 1 }, ensureDatabase: false })
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await relay.stop()
    await orm.close()
    await other.stop()
  })
  await app.register(scopedDb, { orm, name: 'balanced', ...automatic, acquireTimeout: 1_600 })
  const slow = async () => (await db.session.execute<{ id: number }[]>(`select connection_id() as id, ${dialect.sleep(0.7)} as slept`))[0]?.id
  app.get('/', slow)
  app.post('/', slow)
  const [{ id } = { id: 0 }] = await orm.driver.execute<{ id: number }[]>('select connection_id() as id')
  for (const method of ['GET', 'POST'] as const) t.equal((await app.inject({ method, url: '/' })).body, String(id), `${method} keeps its connection`)
})

onEachDatabase('where the server says of each connection that it does not work on it, a slow statement is sent twice, and none after it', { kinds: servers }, async (t, stage) => {
  const { app, orm, proxy, post } = await watched(t, stage, app => {
    app.post('/slow', async () => { await db.session.execute(`select ${stage.dialect.sleep(1.2)}`) })
  })
  // As behind an address with several servers: the one that is asked knows nothing of the others.
  const silence = Silence.of(orm.driver.getConnection() as never) as Silence
  let isTrusted = true
  t.intercept(silence, 'isLost', { value: async () => isTrusted })
  t.intercept(silence, 'distrust', { value: () => { isTrusted = false } })
  let sent = 0
  proxy.react = sql => { if (/sleep/.test(sql)) sent++; return undefined }
  t.equal(await post('/slow'), 200)
  t.equal(sent, await combines(stage) ? 2 : 1)
  t.equal(await post('/slow'), 200)
  t.equal(sent, await combines(stage) ? 3 : 2)
  proxy.react = () => undefined
  t.equal(app.db.openScopes, 0)
})

onEachDatabase('errors are those of the statement alone, and what comes after them, too', { kinds: servers, plugin: automatic }, async (t, stage) => {
  const { app, orm } = stage
  await orm.em.fork().insert(Item, { id: 1, label: 'there', amount: 1 })
  const wrong: Record<string, string> = {
    duplicate: "insert into item (label, amount) values ('there', 1)",
    syntax: 'update item set',
    'no such table': 'select * from nowhere',
    'no such function': 'select no_such_function() from item for update'
  }
  const errorOf = async (sql: string) => await db.session.execute(sql).then(() => 'none', ({ name, message, code }: Error & { code?: unknown }) => ({ name, message, code }))
  for (const [suffix, config] of Object.entries({ together: {}, apart })) {
    app.post<{ Params: { name: string } }>(`/:name/${suffix}`, { config }, async request => {
      const error = await errorOf(wrong[request.params.name] ?? '')
      return { error, next: await errorOf("insert into item (label, amount) values ('next', 1)") }
    })
  }
  for (const name of Object.keys(wrong)) {
    const of = async (suffix: string) => {
      const { statusCode, body } = await app.inject({ method: 'POST', url: `/${encodeURIComponent(name)}/${suffix}` })
      await orm.em.fork().nativeDelete(Item, { label: 'next' })
      return { statusCode, body }
    }
    t.same(await of('together'), await of('apart'), name)
  }
})

onEachDatabase('a statement that was stopped is not committed, although it may have been carried out', { kinds: servers, plugin: automatic }, async (t, stage) => {
  const { app, dialect, orm } = stage
  await orm.em.fork().insert(Item, { label: 'there', amount: 1 })
  let stopped: unknown
  app.post('/', async () => {
    const [{ id } = { id: 0 }] = await orm.driver.execute<{ id: number }[]>(`select ${dialect.connectionId} as id`)
    t.ok(id)
    stopped = await db.session.execute(`select amount, ${dialect.sleep(20)} from item for update`).catch((error: unknown) => error)
    await db.session.insert(Item, { label: 'next', amount: 1 }).catch(() => undefined)
  })
  const isStopped = () => stopped !== undefined
  const reply = app.inject({ method: 'POST', url: '/' })
  for (const end = Date.now() + 20_000; Date.now() < end && !isStopped();) {
    for (const { id } of await orm.driver.execute<{ id: number }[]>(dialect.running, ['%for update%'])) await orm.driver.execute(dialect.cancel(id)).catch(() => undefined)
    await sleep(20)
  }
  t.equal((await reply).statusCode, 500)
  t.same(await stage.labels(), ['there'])
})

onEachDatabase('an id that a trigger has set is known', { kinds: ['mysql'], plugin: automatic }, async (t, stage) => {
  const { app, orm } = stage
  // MikroORM asks once by how much ids grow.
  const em = orm.em.fork()
  em.create(Item, { label: newLabel(), amount: 1 })
  await em.flush()
  await orm.driver.execute('create trigger own_id before insert on item for each row set new.id = 999')
  app.post('/', async () => {
    const item = db.session.create(Item, { label: newLabel(), amount: 1 })
    await db.session.flush()
    return { id: item.id }
  })
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), { id: 999 })
  t.equal((await stage.labels()).length, 2)
})

onEachDatabase('who is to be told of BEGIN is told ahead of the statement', { kinds: servers, plugin: automatic }, async (t, { app, orm }) => {
  const told: string[] = []
  app.post('/', async () => { db.session.create(Item, { label: newLabel(), amount: 1 }) })
  await app.inject({ method: 'POST', url: '/' })
  orm.em.getEventManager().registerSubscriber({
    async afterTransactionStart ({ em, transaction }: TransactionEventArgs) {
      await em.getConnection().execute("insert into item (label, amount) values ('first', 1)", [], 'run', transaction)
      told.push('begun')
    },
    async afterCreate () { told.push('created') }
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(told, ['begun', 'created'])
  t.same((await orm.em.fork().find(Item, {}, { orderBy: { id: 1 } })).map(({ label }) => label === 'first'), [false, true, false])
})

onEachDatabase('a statement whose scope ends while it waits for a connection is not sent', { kinds: servers }, async (t, stage) => {
  const late: unknown[] = []
  const held = Promise.withResolvers<void>()
  const { app, proxy } = await watched(t, stage, app => {
    app.post('/hold', async () => {
      await db.session.insert(Item, { label: 'held', amount: 1 })
      await held.promise
    })
    app.post('/late', { handlerTimeout: 50 }, async () => {
      await db.session.insert(Item, { label: 'late', amount: 1 }).catch((error: unknown) => { late.push(error) })
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const post = async (url: string) => (await fetch(new URL(url, app.listeningOrigin), { method: 'POST' })).status
  const sent: string[] = []
  proxy.react = sql => { sent.push(sql); return undefined }
  const hold = post('/hold')
  while (!sent.some(sql => sql.includes('held'))) await sleep(5)
  t.equal(await post('/late'), 503)
  held.resolve()
  t.equal(await hold, 200)
  while (late.length === 0) await sleep(5)
  t.match(late, [{ code: 'FST_SCOPED_DB_SCOPE_CLOSED' }])
  t.notOk(sent.some(sql => sql.includes('late')))
})

onEachDatabase('a statement that waits for a lock ends with its scope, although BEGIN has come with it', { kinds: servers, plugin: { commitOnTeardown: true, acquireTimeout: 1_600 } }, async (t, stage) => {
  const { app, orm, database } = stage
  // Each connection is asked for its name, and MikroORM asks once by how much ids grow.
  app.post('/', async () => { db.session.create(Item, { label: newLabel(), amount: 1 }) })
  const errors: unknown[] = []
  app.post('/locked', { handlerTimeout: 50 }, async () => {
    await db.session.execute('select id from item for update').catch((error: unknown) => { errors.push(error) })
  })
  const { origin } = await stage.listen()
  const post = async (url: string) => (await fetch(`${origin}${url}`, { method: 'POST' })).status
  t.equal(await post('/'), 200)
  const locked = Promise.withResolvers<void>()
  const over = Promise.withResolvers<void>()
  const holder = database.witness.em.fork().transactional(async em => {
    await em.execute('select id from item for update')
    locked.resolve()
    await over.promise
  })
  await locked.promise
  const transactions = eventsOf(t, 'transaction')
  t.equal(await post('/locked'), 503)
  for (const end = Date.now() + 15_000; Date.now() < end && (errors.length === 0 || app.db.openScopes > 0);) await sleep(20)
  t.match(errors, [{ code: 'FST_SCOPED_DB_SCOPE_CLOSED' }], 'long before the lock is free')
  t.equal(app.db.openScopes, 0)
  t.equal(transactions.ended().length, 1, 'it is not begun again')
  over.resolve()
  await holder
  t.equal(await post('/'), 200)
  t.equal(await orm.em.fork().count(Item), 2)
})
