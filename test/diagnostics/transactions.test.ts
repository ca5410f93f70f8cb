/** The tracing channels of transactions and of connections. */
import { IsolationLevel } from '@mikro-orm/core'
import { servers } from '../support/databases.ts'
import { rewrite, untilQueued } from '../support/dialect.ts'
import { otherDriver } from '../support/drivers.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'
import { eventsOf } from '../support/traces.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const insert = { label: 'a', amount: 0 }

onEachDatabase('a transaction is told of from its BEGIN to its end', automatic, async (t, { app }) => {
  const transactions = eventsOf(t, 'transaction')
  app.post('/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    await request.db.insert(Item, { label: status, amount: 0 })
    t.same(transactions.taken().map(({ event }) => event), ['start', 'end'])
    return await reply.code(Number(status)).send('ok')
  })
  for (const [status, outcome] of [[200, 'commit'], [409, 'rollback']] as const) {
    await app.inject({ method: 'POST', url: `/${status}` })
    const events = transactions.taken()
    t.same(events.map(({ event }) => event), ['asyncStart', 'asyncEnd'])
    const message = { outcome, route: '/:status', database: 'default', scope: { kind: 'request' }, isolationLevel: undefined, readOnly: false, error: undefined, duration: Number }
    t.match(events[1]?.message, message)
  }
  await app.db.run(async session => await session.count(Item), { isolationLevel: IsolationLevel.SERIALIZABLE, readOnly: true }).catch(() => undefined)
  t.match(transactions.ended(), [{ isolationLevel: 'serializable', readOnly: true }])
})

onEachDatabase('one that the database does not commit', { ...automatic, kinds: ['sqlite', 'postgresql'] }, async (t, { app, orm, kind }) => {
  const type = kind === 'sqlite' ? 'integer primary key' : 'serial primary key'
  await orm.driver.execute(`create table child (id ${type}, item_id integer references item (id) deferrable initially deferred)`)
  const transactions = eventsOf(t, 'transaction')
  await t.rejects(app.db.run(async session => { await session.execute('insert into child (item_id) values (4711)') }))
  t.match(transactions.ended(), [{ outcome: 'rollback', error: /foreign key/i }])
})

onEachDatabase('one that cannot be begun, committed or rolled back', { plugin: { commitOnTeardown: true, beginWithFirst: false }, kinds: servers }, async (t, { app, orm, kind }) => {
  const transactions = eventsOf(t, 'transaction')
  let failing = ''
  await rewrite(orm, sql => sql === failing || (failing === 'begin' && sql.startsWith('start')) ? 'nonsense' : sql)
  const work = async () => await app.db.run(async session => { await session.insert(Item, insert) })
  for (const [command, outcome] of [['begin', undefined], ['commit', kind === 'mysql' ? 'unknown' : 'rollback']] as const) {
    failing = command
    await t.rejects(work())
    t.match(transactions.ended().at(-1), { outcome, error: /nonsense|not known/, duration: Number })
  }
  failing = 'rollback'
  await t.rejects(app.db.run(async session => { await session.insert(Item, insert); throw new Error('undone') }), { message: 'undone' })
  t.match(transactions.ended(), [{ outcome: 'rollback', error: /nonsense/ }])
})

onEachDatabase('a connection is told of while it is waited for, and while somebody has it', { ...automatic, orm: { pool: { max: 1 } }, kinds: servers }, async (t, { app, orm }) => {
  const connections = eventsOf(t, 'connection')
  const go = new Gate()
  const holds = new Gate()
  app.post('/hold', async request => {
    await request.db.insert(Item, insert)
    holds.open()
    await go.opened
    return 'ok'
  })
  app.get('/wait', async request => await request.db.count(Item).then(String))
  const held = app.inject({ method: 'POST', url: '/hold' })
  await holds.opened
  const [, , arrived, ...none] = connections.taken()
  t.match(arrived, { event: 'asyncStart', message: { route: '/hold', waited: Number } })
  t.same(none, [])
  const waiting = app.inject('/wait')
  await untilQueued(orm)
  t.match(connections.taken(), [{ event: 'start', message: { route: '/wait', waited: undefined } }, { event: 'end' }])
  go.open()
  await Promise.all([held, waiting])
  t.match(connections.ended(), [{ route: '/hold', held: Number, error: undefined }, { route: '/wait', waited: Number, held: Number, error: undefined }])
})

onEachDatabase('one that does not come', { plugin: { ...automatic.plugin, acquireTimeout: 50 }, orm: { pool: { max: 1 } }, kinds: servers }, async (t, { app }) => {
  const connections = eventsOf(t, 'connection')
  await app.db.run(async session => {
    await session.insert(Item, insert)
    connections.taken()
    await t.rejects(app.db.run(async session => await session.count(Item)), { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' })
    t.match(connections.taken(), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'].map(event => ({ event })))
  })
  t.match(connections.ended(), [{ held: Number }])
})

onEachDatabase('a statement that fails is not the fault of its connection', {}, async (t, { app }) => {
  const connections = eventsOf(t, 'connection')
  await t.rejects(app.db.run(async session => await session.execute('select * from nowhere')))
  t.match(connections.ended(), [{ waited: Number, held: Number, error: undefined }])
})

onEachDatabase('where the database is', automatic, async (t, { app, database, kind }) => {
  const transactions = eventsOf(t, 'transaction')
  await app.db.run(async session => { await session.insert(Item, insert) })
  const { clientUrl, dbName } = database.options
  const url = clientUrl === undefined ? undefined : new URL(clientUrl)
  const system = otherDriver() === 'mariadb' ? 'mariadb' : kind
  t.same(transactions.ended().map(({ target }) => target), [{ system, namespace: dbName, address: url?.hostname, port: url && Number(url.port) }])
})

onEachDatabase('one with replicas is in several places', { ...automatic, orm: { replicas: [{ name: 'replica' }] }, kinds: servers }, async (t, { app, database }) => {
  const transactions = eventsOf(t, 'transaction')
  await app.db.run(async session => { await session.insert(Item, insert) })
  t.match(transactions.ended(), [{ target: { namespace: database.options.dbName, address: undefined, port: undefined } }])
})
