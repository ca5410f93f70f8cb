/** Reads that wait for what other nodes of a cluster have committed: on a real cluster, and refused where there is none. */
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection, type Connection } from 'mysql2/promise'
import t from 'tap'
import scopedDb, { type RouteOptions, type RunOptions, type ScopedDbOptions } from '../../plugin.ts'
import { availableKinds, createDatabase, servers, type TestDatabase } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { hasGalera, startNodes, type GaleraNode } from '../support/galera.ts'
import { onEachDatabase, type LogLine } from '../support/on-each-database.ts'
import { replicatedApp } from '../support/replication.ts'
import { freePort } from '../support/server.ts'

const BEGIN = 'set statement wsrep_sync_wait=1 for begin'
const causal = { config: { db: { causalReads: true } } }

const refused = (name: string) => ({ code: 'FST_SCOPED_DB_INVALID_OPTION', message: `fastify-scoped-db: the option "causalReads" takes a node of a cluster that can wait for the others, got "${name}", which is none` })

/** Starts an application with a MikroORM of its own. */
async function start (database: TestDatabase, options: Omit<ScopedDbOptions, 'orm'>, route: RouteOptions = {}, more: object = {}): Promise<void> {
  const orm = await database.connect(more)
  const app = Fastify()
  try {
    await app.register(scopedDb, { orm, name: 'other', commitOnTeardown: true, ...options })
    app.get('/', { config: { db: route } }, async request => await request.db.count(Item))
    await app.ready()
  } finally {
    await app.close()
    await orm.close(true)
  }
}

onEachDatabase('a server that cannot do it is refused at start, and by db.run() and db.open()', { kinds: ['sqlite', ...servers], plugin: { commitOnTeardown: true } }, async (t, stage) => {
  await t.rejects(start(stage.database, { causalReads: true }), refused('other'))
  await t.rejects(start(stage.database, {}, { causalReads: true }), refused('other'))
  await t.rejects(start(stage.database, {}, { use: { other: { causalReads: true } } }), refused('other'))
  await t.rejects(stage.app.db.run(async session => await session.count(Item), { causalReads: true }), refused('default'))
  await using scope = stage.app.db.open({ causalReads: true })
  await t.rejects(scope.session.count(Item), refused('default'))
})

onEachDatabase('a route without a transaction cannot ask for it', {}, async (t, stage) => {
  await t.rejects(start(stage.database, { commitOnTeardown: false }, { causalReads: true }), { message: /"causalReads" in config.db of GET \/ takes a commitOnTeardown that is not false/ })
})

const isPossible = availableKinds().includes('mysql') && (hasGalera() || process.env['CI'] === 'true')

void t.test('BEGIN waits, and leaves nothing behind', { skip: !isPossible && 'no Galera' }, async t => {
  const nodes = await startNodes(2) as [GaleraNode, GaleraNode]
  t.teardown(async () => { await Promise.all(nodes.map(node => node.stop())) })
  const [here, there] = await Promise.all(nodes.map(async ({ url }) => await createConnection(url))) as [Connection, Connection]
  t.teardown(async () => { await Promise.all([here.end(), there.end()]) })
  const shared = process.env['MYSQL_URL']
  process.env['MYSQL_URL'] = nodes[0].url
  const database = await createDatabase('mysql').finally(() => { process.env['MYSQL_URL'] = shared })
  const orm = await database.connect()
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await database.drop()
  })
  await app.register(scopedDb, { orm, commitOnTeardown: true, recordStatements: true })
  const sent = () => app.db.statements.map(({ sql }) => sql.replace(/^select count.*/, 'count'))
  app.get('/', causal, async request => {
    await request.db.count(Item)
    const [row] = await request.db.execute<{ left: number }[]>('select @@wsrep_sync_wait as `left`')
    return [row?.left, ...sent()]
  })
  app.get('/read-only', { config: { db: { causalReads: true, readOnly: true } } }, async request => {
    await request.db.count(Item)
    return sent()
  })
  app.get('/plain', async request => {
    await request.db.count(Item)
    return sent()
  })
  app.post('/beside', causal, async request => {
    await request.db.transactional(async em => { await em.count(Item) }, { propagation: 'requires_new' as never })
    return sent()
  })
  // A new connection is asked for its name.
  await app.inject('/')
  t.same((await app.inject('/')).json(), [0, BEGIN, 'count', 'select @@wsrep_sync_wait as `left`'], 'it begins with the first read')
  t.same((await app.inject('/read-only')).json(), ['set transaction read only', BEGIN, 'count'])
  t.notOk((await app.inject('/plain')).json<string[]>().includes(BEGIN))
  t.same((await app.inject({ method: 'POST', url: '/beside' })).json(), [BEGIN, 'count', 'commit'])
  t.equal(await app.db.run(async session => await session.count(Item), { causalReads: true }), 0)
  await t.resolves(start(database, { commitOnTeardown: false, causalReads: true }))

  const { dbName } = database.options
  await t.rejects(start(database, { causalReads: true }, { readOnly: true }, { replicas: [{ clientUrl: shared, dbName: 'mysql' }] }), refused('other'), 'a replica that is no node')
  const logs: LogLine[] = []
  const { app: reader } = await replicatedApp(t, { database, logs }, [`mysql://root@127.0.0.1:${await freePort()}`], { causalReads: true, replicas: {} })
  reader.get('/', { config: { db: { readOnly: true } } }, async request => await request.db.count(Item))
  t.equal((await reader.inject('/')).body, '0', 'one that is down is left out')
  t.equal(logs.filter(({ msg }) => msg === 'a replica is left out').length, 1)

  const counted = async (options: RunOptions = {}) => await app.db.run(async session => await session.count(Item), options)
  await here.query('flush tables with read lock') // this node applies nothing more
  await there.query(`insert into \`${dbName}\`.item (label) values ('there')`)
  t.equal(await counted(), 0, 'it is behind')
  const waiting = counted({ causalReads: true })
  t.equal(await Promise.race([waiting, sleep(500)]), undefined, 'it waits')
  await here.query('unlock tables')
  t.equal(await waiting, 1)
})

onEachDatabase('a database that is not there at start cannot be asked', { kinds: servers }, async (t, stage) => {
  const clientUrl = `${stage.kind}://root@127.0.0.1:${await freePort()}`
  await t.rejects(start(stage.database, { causalReads: true, acquireTimeout: 100 }, {}, { clientUrl }), stage.kind === 'mysql' ? { code: 'FST_SCOPED_DB_CANNOT_CONNECT' } : refused('other'))
})
