import { defineEntity, MikroORM, p } from '@mikro-orm/core'
import Fastify from 'fastify'
import type { CompiledQuery, DatabaseConnection } from 'kysely'
import t from 'tap'
import { ConnectionLock } from '../../lib/testing/connection-lock.ts'
import { IsolatedConnection } from '../../lib/testing/isolated-connection.ts'
import { Savepoints, type OuterTransaction } from '../../lib/testing/outer-transaction.ts'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { isolate } from '../../testing.ts'
import { servers, type Kind, type SqlORM } from '../support/databases.ts'
import { untilRuns } from '../support/dialect.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { MemoryDriver } from '../support/memory-driver.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { whileIsolated } from '../support/while-isolated.ts'

interface Tables {
  item: { label: string, amount: number }
}

const LOST = { code: 'FST_SCOPED_DB_ISOLATION_LOST' }
const automatic = { plugin: { commitOnTeardown: true } }

const insert = (label: string) => ({ label, amount: 0 })

const execute = async <T>(orm: SqlORM, sql: string) => await orm.em.fork().getConnection().execute<T[]>(sql)

/** What makes each database end the outer transaction by itself. */
const ENDS: Record<Kind, string> = {
  postgresql: 'commit',
  mysql: 'create table other (id int)',
  sqlite: "insert or rollback into item (label, amount) values ('first', 0)"
}

onEachDatabase('a transaction that the database ends by itself is lost, and nothing goes on', automatic, async (t, { app, orm, kind, labels }) => {
  const isolation = await isolate(app)
  await orm.em.fork().insert(Item, insert('first'))
  await t.rejects(execute(orm, ENDS[kind]), kind === 'sqlite' ? { name: /UniqueConstraint|SqliteError/ } : LOST)
  await t.rejects(orm.em.fork().insert(Item, insert('late')), LOST)
  await t.rejects(isolation.release(), { ...LOST, message: /ended it by itself/, cause: { message: String } })
  await t.rejects(isolation.release(), LOST, 'the same again')
  t.same(await labels(), kind === 'sqlite' ? [] : ['first'], 'SQLite has rolled back, others have committed')
  const next = await isolate(app)
  await next.release()
})

/** What ends it although its text does not tell. PostgreSQL lets no procedure do so inside a transaction. */
const SURPRISE: Partial<Record<Kind, string>> = { mysql: 'call surprise()', postgresql: 'commit' }

onEachDatabase('it is noticed by release() at the latest', automatic, async (t, { app, orm, kind, labels }) => {
  if (kind === 'mysql') await execute(orm, 'create procedure surprise () commit')
  const isolation = await isolate(app)
  await app.db.run(async session => { session.create(Item, { label: 'first' }) })
  const { inTransaction } = await orm.driver.getConnection().getNativeClient() as { inTransaction?: boolean }
  t.equal(inTransaction, kind === 'sqlite' ? true : undefined)
  if (kind === 'sqlite') (await orm.driver.getConnection().getNativeClient() as { exec (sql: string): void }).exec('rollback')
  else await t.rejects(execute(orm, String(SURPRISE[kind])), LOST)
  await t.rejects(isolation.release(), LOST)
  t.same(await labels(), kind === 'sqlite' ? [] : ['first'])
})

onEachDatabase('a request whose transaction is lost is answered with an error', automatic, async (t, { app, orm, kind, logs }) => {
  // By what no text tells of.
  if (kind === 'mysql') await execute(orm, 'create procedure surprise () commit')
  app.post('/', async request => {
    await request.db.insert(Item, insert('first'))
    if (kind !== 'sqlite') await request.db.getConnection().execute(String(SURPRISE[kind]))
    else (await orm.driver.getConnection().getNativeClient() as { exec (sql: string): void }).exec('rollback')
    return 'ok'
  })
  const isolation = await isolate(app)
  const reply = await app.inject({ method: 'POST', url: '/' })
  const code = kind !== 'sqlite' ? 'FST_SCOPED_DB_ROLLBACK_ONLY' : LOST.code
  t.match(reply.json(), { statusCode: 500, code })
  t.ok(logs.some(({ err }) => (err as { code?: string } | undefined)?.code === code))
  await t.rejects(execute(orm, 'select 1'), LOST)
  await t.rejects(isolation.release(), LOST)
})

onEachDatabase('a connection that is killed', { ...automatic, kinds: servers }, async (t, { app, orm, database, labels, dialect }) => {
  const isolation = await isolate(app)
  const [row] = await execute<{ id: number }>(orm, `select ${dialect.connectionId} as id`)
  await orm.em.fork().insert(Item, insert('first'))
  await database.witness.driver.execute(dialect.kill(Number(row?.id)))
  await t.rejects(execute(orm, 'select 1'))
  await t.rejects(isolation.release(), LOST)
  t.same(await labels(), [])
})

onEachDatabase('a statement that never ends does not hold up release()', { plugin: { commitOnTeardown: true, acquireTimeout: 300 }, kinds: servers }, async (t, { app, orm, database, labels, dialect }) => {
  const isolation = await isolate(app)
  await orm.em.fork().insert(Item, insert('first'))
  const endless = t.rejects(execute(orm, `select ${dialect.sleep(1000)}`))
  await untilRuns(database, `select ${dialect.sleep(1000)}`)
  await t.rejects(isolation.release(), { ...LOST, message: /did not answer within 300 ms/ })
  await endless
  t.same(await labels(), [])
})

whileIsolated('cancelOnAbort cancels the statement, not the isolation', { ...automatic, kinds: servers }, async (t, { app, orm, database, listen, dialect }) => {
  const ended = Promise.withResolvers<unknown>()
  app.post('/', { config: { db: { cancelOnAbort: true } } }, async request => {
    await request.db.insert(Item, insert('cancelled'))
    const sleeping = request.db.getConnection().execute(`select ${dialect.sleep(1000)} as interrupted`)
    ended.resolve(sleeping.catch((error: unknown) => error))
    return await sleeping
  })
  const { origin } = await listen()
  await orm.em.fork().insert(Item, insert('kept'))
  const client = new AbortController()
  const request = t.rejects(fetch(origin, { method: 'POST', signal: client.signal }))
  await untilRuns(database, `select ${dialect.sleep(1000)} as interrupted`)
  client.abort()
  await request
  await ended.promise
  const items = await orm.em.fork().find(Item, {})
  t.same(items.map(({ label }) => label), ['kept'])
})

whileIsolated('a session that would kill its connection is refused', { ...automatic, kinds: servers }, async (t, { orm }) => {
  const fork = orm.em.fork({ signal: new AbortController().signal, inflightQueryAbortStrategy: 'kill session' })
  await t.rejects(fork.find(Item, {}), /doesn't support .*kill session/)
})

onEachDatabase('a MikroORM that is closed before release()', automatic, async (t, { database, kind, labels }) => {
  const orm = await database.connect()
  const app = Fastify()
  await app.register(scopedDb, { orm })
  const isolation = await isolate(app)
  await orm.em.fork().insert(Item, insert('first'))
  await app.close()
  const closed = orm.close()
  // pg waits for every connection that was given away.
  if (kind === 'postgresql') await isolation.release()
  await closed
  if (kind !== 'postgresql') await t.rejects(isolation.release(), LOST)
  t.same(await labels(), [])
})

whileIsolated('a connection that is let go of with a transaction open', automatic, async (t, { orm }) => {
  const client = orm.driver.getConnection().getClient<Tables>()
  await client.connection().execute(async kysely => {
    const trx = await kysely.startTransaction().execute()
    await trx.executeQuery(trx.insertInto('item').values(insert('forgotten')))
  })
  t.same(await orm.em.fork().count(Item), 0, 'it is rolled back before it is given to the next')
})

whileIsolated('savepoints of Kysely', automatic, async (t, { orm }) => {
  const trx = await orm.driver.getConnection().getClient<Tables>().startTransaction().execute()
  const add = async (label: string) => await trx.executeQuery(trx.insertInto('item').values(insert(label)))
  await add('a')
  const outer = await trx.savepoint('outer').execute()
  await add('b')
  const inner = await outer.savepoint('inner').execute()
  await add('dropped')
  await inner.rollbackToSavepoint('inner').execute()
  await add('c')
  await inner.releaseSavepoint('outer').execute()
  await t.rejects(inner.releaseSavepoint('inner').execute(), /no savepoint inner/, 'it went with the outer one')
  await trx.commit().execute()
  const items = await orm.em.fork().find(Item, {}, { orderBy: { label: 'asc' } })
  t.same(items.map(({ label }) => label), ['a', 'b', 'c'])
})

onEachDatabase('an outer transaction that cannot begin', { ...automatic, kinds: ['sqlite'] }, async (t, { app, orm }) => {
  const native = await orm.driver.getConnection().getNativeClient() as { exec (sql: string): void }
  native.exec('begin')
  await t.rejects(isolate(app), /within a transaction/)
  native.exec('rollback')
  await (await isolate(app)).release()
})

onEachDatabase('when one database cannot be isolated, none is', automatic, async (t, { app, orm }) => {
  const Note = defineEntity({ name: 'Note', properties: { id: p.integer().primary() } })
  const memory = await MikroORM.init({ driver: MemoryDriver, entities: [Note], dbName: 'memory' } as never)
  await app.register(scopedDb, { orm: memory, name: 'memory' } as ScopedDbOptions)
  await t.rejects(isolate(app), { code: 'FST_SCOPED_DB_CANNOT_ISOLATE', message: /"memory".* no SQL transactions/ })
  await orm.em.fork().insert(Item, insert('for real'))
  t.equal(await orm.em.fork().count(Item), 1)
  await memory.close()
})

void t.test('a transaction that PostgreSQL has aborted is rolled back to its beginning', async t => {
  const sent: string[] = []
  const command = (text: string, error?: Error) => async (name: string) => { sent.push(`${text} ${name}`); if (error !== undefined) throw error }
  const aborted = new Error('current transaction is aborted')
  const transaction = { savepoint: command('set'), releaseSavepoint: command('release', aborted), rollbackToSavepoint: command('rollback to') }
  const driverConnection: Partial<DatabaseConnection> = { executeQuery: async () => ({ rows: [] }) }
  const outer = { lock: new ConnectionLock(1000), savepoints: new Savepoints(transaction as never), connection: driverConnection } as unknown as OuterTransaction
  await IsolatedConnection.provide(outer, async connection => {
    await connection.beginTransaction()
    await connection.executeQuery({} as CompiledQuery)
    await t.rejects(connection.commitTransaction(), aborted)
    await connection.rollbackTransaction()
  })
  t.same(sent, ['set isolated_1', 'release isolated_1', 'rollback to isolated_1'])
})
