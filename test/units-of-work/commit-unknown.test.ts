import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { MYSQL } from '../../lib/drivers/mysql.ts'
import { SQLITE } from '../../lib/drivers/sqlite.ts'
import { commitError } from '../../lib/transaction/errors.ts'
import { Silence } from '../../lib/transaction/silence.ts'
import scopedDb, { db } from '../../plugin.ts'
import { servers, type Kind } from '../support/databases.ts'
import { rewrite } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { proxied, type Proxied } from '../support/proxied.ts'
import type { Reaction } from '../support/proxy.ts'
import { startRelay } from '../support/relay.ts'

const UNKNOWN = 'FST_SCOPED_DB_COMMIT_UNKNOWN'
const CLOSED = "Can't add new command when connection is in closed state"

/** Cuts the connection at every statement that is `sql`. */
const at = (sql: string, reaction: Reaction) => (sent: string) => sent === sql ? reaction : undefined

/** Nothing is left, and every place in the pool can be taken. */
async function assertWhole (t: Test, { database, dialect }: Stage, { orm, proxy }: Proxied): Promise<void> {
  proxy.react = () => undefined
  // The server takes its time to notice that somebody has gone.
  while ((await database.leftovers(orm)).length > 0) await sleep(10)
  const work = async () => await orm.driver.getConnection().execute(`select ${dialect.sleep(0.01)}`)
  await Promise.all(Array.from({ length: 12 }, work))
  t.same(await database.leftovers(orm), [])
}

for (const reaction of ['cut before', 'cut after'] as const) {
  onEachDatabase(`the connection is lost at COMMIT (${reaction}): nobody knows`, { kinds: servers }, async (t, stage) => {
    const to = await proxied(t, stage.database, { commitOnTeardown: true })
    const { app, proxy } = to
    const caught: unknown[] = []
    const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })
    const manual = { config: { db: { commitOnTeardown: false } } }
    app.setErrorHandler((error, _request, reply) => { caught.push(error); return reply.send(error) })
    app.post('/teardown', async () => { await insert('teardown') })
    app.post('/db.commit', async () => { await insert('db.commit'); await db.commit() })
    app.post('/em.commit', manual, async () => { await db.session.begin(); await insert('em.commit'); await db.session.commit() })
    app.post('/transactional', manual, async () => await db.session.transactional(async () => { await insert('transactional') }))
    app.post('/flush', manual, async () => { db.session.create(Item, { label: 'flush' }); await db.session.flush() })
    app.post('/beside', async () => await db.session.transactional(async em => { await em.insert(Item, { label: 'beside', amount: 0 }) }, { propagation: 'requires_new' as never }))
    proxy.react = at('commit', reaction)
    const paths = ['teardown', 'db.commit', 'em.commit', 'transactional', 'flush', 'beside']
    for (const path of paths) {
      const response = await app.inject({ method: 'POST', url: `/${path}` })
      t.match(response.json(), { statusCode: 500, code: UNKNOWN, error: 'Internal Server Error', message: /not known/ }, path)
    }
    t.match(caught, paths.map(() => ({ code: UNKNOWN, cause: stage.dialect.lost })))
    await t.rejects(app.db.run(async session => { session.create(Item, { label: 'run' }) }), { code: UNKNOWN })
    t.same(await stage.labels(), reaction === 'cut before' ? [] : [...paths, 'run'].sort())
    await assertWhole(t, stage, to)
  })
}

onEachDatabase('a slow COMMIT is waited for, whatever is said of its connection', { kinds: servers }, async (t, { database, labels }) => {
  const relay = await startRelay(String(database.options.clientUrl), (client, upstream) => {
    let isCommitting = false
    client.on('data', data => {
      isCommitting = data.includes('commit')
      upstream.write(data)
    })
    upstream.on('data', data => { setTimeout(() => client.write(data), isCommitting ? 1_000 : 0) })
  })
  const orm = await database.connect({ clientUrl: relay.url })
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await relay.stop()
    await orm.close()
  })
  await app.register(scopedDb, { orm, name: 'slow', commitOnTeardown: true, acquireTimeout: 800 })
  // As behind a proxy that has one connection stand for several.
  t.intercept(Silence.of(orm.driver.getConnection() as never) as Silence, 'isLost', { value: async () => true })
  app.post('/', async () => { await db.session.insert(Item, { label: 'slow', amount: 0 }) })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['slow'])
})

onEachDatabase('the default error handler tells of an unknown commit', { kinds: servers }, async (t, { database }) => {
  const { app, proxy } = await proxied(t, database, { commitOnTeardown: true })
  app.post('/', async request => { await request.db.insert(Item, { label: 'a', amount: 0 }) })
  proxy.react = at('commit', 'cut after')
  t.same((await app.inject({ method: 'POST', url: '/' })).json(), {
    statusCode: 500,
    code: UNKNOWN,
    error: 'Internal Server Error',
    message: 'fastify-scoped-db: COMMIT was sent, and the connection was lost or the answer was not clear, so it is not known whether the transaction is in the database'
  })
})

onEachDatabase('a connection that was lost before COMMIT: it is rolled back', { kinds: servers }, async (t, stage) => {
  const to = await proxied(t, stage.database, { commitOnTeardown: true })
  to.app.post('/', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await t.rejects(request.db.execute('select 7'))
    return 'ok'
  })
  to.proxy.react = at('select 7', 'cut before')
  const response = await to.app.inject({ method: 'POST', url: '/' })
  t.equal(response.statusCode, 500)
  t.not(response.json<{ code?: string }>().code, UNKNOWN)
  t.same(await stage.labels(), [])
  await assertWhole(t, stage, to)
})

/** What the server says to COMMIT, and whether it means that it has refused it. */
const ANSWERS: Partial<Record<Kind, [code: number | string, message: string, isRefusal: boolean][]>> = {
  mysql: [
    [1213, 'Deadlock found when trying to get lock', true],
    [1205, 'Lock wait timeout exceeded', true],
    [1180, "Got error 149 'Lock deadlock; Retry transaction' during COMMIT", true],
    [1180, 'Fehler 149 "Lock deadlock; Retry transaction" beim COMMIT', true],
    [1290, 'The MariaDB server is running with the --read-only option so it cannot execute this statement', true],
    [1836, 'Running in read-only mode', true],
    [1180, "Got error 6 'No such device or address: Not connected to Primary Component' during COMMIT", false],
    [1180, "Got error 1490 'error 149' during COMMIT", false],
    [1290, 'The MariaDB server is running with the --secure-file-priv option so it cannot execute this statement', false],
    [1105, 'target: main.0.primary: vttablet: rpc error', false],
    [1317, 'Query execution was interrupted', false],
    [1969, 'Query execution was interrupted (max_statement_time exceeded)', false]
  ],
  postgresql: [
    ['40001', 'could not serialize access due to read/write dependencies among transactions', true],
    ['40P01', 'deadlock detected', true],
    ['23505', 'duplicate key value violates unique constraint', true],
    ['23503', 'insert or update violates foreign key constraint', true],
    ['P0001', 'a deferred trigger has raised this', true],
    ['55P03', 'canceling statement due to lock timeout', true],
    ['57014', 'canceling statement due to user request', false],
    ['40003', 'statement completion unknown', false],
    ['53100', 'could not write to file: No space left on device', false],
    ['XX000', 'cache lookup failed', false]
  ]
}

const SAY: Partial<Record<Kind, (code: number | string, message: string) => string>> = {
  mysql: (code, message) => `signal sqlstate 'HY000' set mysql_errno = ${code}, message_text = ${JSON.stringify(message)}`,
  postgresql: (code, message) => `do $$ begin raise exception '%', '${message}' using errcode = '${code}'; end $$`
}

onEachDatabase('what the server answers to COMMIT: a refusal that is known, or nobody knows', { kinds: servers, plugin: { commitOnTeardown: true } }, async (t, { app, kind, orm, labels }) => {
  app.post('/', async request => { await request.db.insert(Item, { label: 'a', amount: 0 }) })
  await app.ready()
  await db.run(async session => await session.count(Item))
  let answer = ''
  await rewrite(orm, sql => sql === 'commit' ? answer : sql)
  for (const [code, message, isRefusal] of ANSWERS[kind] ?? []) {
    answer = String(SAY[kind]?.(code, message))
    const response = await app.inject({ method: 'POST', url: '/' })
    t.equal(response.statusCode, 500, message)
    t.equal(response.json<{ code?: string }>().code === UNKNOWN, !isRefusal, message)
  }
  t.same(await labels(), [])
})

onEachDatabase('a savepoint that is lost', { kinds: servers }, async (t, { labels, database }) => {
  const to = await proxied(t, database, { commitOnTeardown: true })
  to.app.post('/savepoint', async request => await request.db.transactional(async em => { await em.insert(Item, { label: 'a', amount: 0 }) }))
  to.proxy.react = sql => sql.startsWith('release') ? 'cut after' : undefined
  const response = await to.app.inject({ method: 'POST', url: '/savepoint' })
  t.equal(response.statusCode, 500)
  t.not(response.json<{ code?: string }>().code, UNKNOWN)
  t.same(await labels(), [])
})

void t.test('which errors of COMMIT leave it unknown', async t => {
  const isUnknown = (error: unknown, driver = MYSQL) => (commitError(error, driver) as { code?: unknown }).code === UNKNOWN
  const failure = (details: object, message = '') => Object.assign(new Error(message), details)
  for (const known of [
    { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' },
    { errno: 3101, code: 'ER_TRANSACTION_ROLLBACK_DURING_COMMIT', sqlState: '40000' },
    { errno: 1062, code: 'ER_DUP_ENTRY', sqlState: '23000' },
    { sqlState: '40000' },
    { severity: 'ERROR', code: '23505' },
    { severity: 'ERROR', code: '40001' },
    { severity: 'ERROR', code: '22008' },
    { severity: 'ERROR', code: '22P02' },
    { severity: 'ERROR', code: 'P0001' },
    { severity: 'ERROR', code: '25006' },
    { severity: 'FEHLER', code: '23505' },
    { severity: 'ERREUR', code: '40P01' },
    { severity: 'FATAL', code: '40001' },
    { errno: 1205, sqlState: 'HY000', fatal: false }
  ]) t.notOk(isUnknown(failure(known)), JSON.stringify(known))
  for (const message of [CLOSED, 'Client has encountered a connection error and is not queryable', 'Client was closed and is not queryable']) t.notOk(isUnknown(failure({ fatal: true }, message)), message)
  for (const unknown of [
    { errno: 1180, code: 'ER_ERROR_DURING_COMMIT', sqlState: 'HY000' },
    { errno: 1105, code: 'ER_UNKNOWN_ERROR', sqlState: 'HY000' },
    { errno: 1064, code: 'ER_PARSE_ERROR', sqlState: '42000' },
    { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001', fatal: true },
    { errno: 1053, code: 'ER_SERVER_SHUTDOWN', sqlState: '08S01' },
    { errno: 1927, code: 'ER_CONNECTION_KILLED', sqlState: '70100' },
    { errno: 1317, code: 'ER_QUERY_INTERRUPTED', sqlState: '70100' },
    { errno: 4031, code: 'ER_CLIENT_INTERACTION_TIMEOUT', sqlState: 'HY000' },
    { errno: 45026, sqlState: 'HY000', fatal: true },
    { fatal: true, code: 'PROTOCOL_CONNECTION_LOST' },
    { code: 'EPIPE' },
    { errno: 1, sqlState: '' },
    { errno: 1, sqlState: 'HY0000' },
    { errno: 1, sqlState: '#HY000' },
    { errno: 1, sqlState: 45000 },
    { errno: 1040, sqlState: '08004' },
    { severity: 'FATAL', code: '57P01' },
    { severity: 'FEHLER', code: '57P01' },
    { severity: 'ERROR', code: '57P01' },
    { severity: 'ERROR', code: '08007' },
    { severity: 'ERROR', code: '40003' },
    { severity: 'ERROR', code: '57014' },
    { severity: 'ERROR', code: 'XX000' },
    { severity: 'FATAL', code: '53300' },
    { severity: 'PANIC', code: 'XX000' }
  ]) t.ok(isUnknown(failure(unknown)), JSON.stringify(unknown))
  t.ok(isUnknown(failure({}, 'Connection terminated unexpectedly')))
  t.ok(isUnknown(undefined))
  const lost = failure({ code: 'PROTOCOL_CONNECTION_LOST', fatal: true })
  t.equal((commitError(lost, MYSQL) as Error).cause, lost)
  t.notOk(isUnknown(failure({}, 'The database connection is not open'), SQLITE))
})
