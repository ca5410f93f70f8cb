/** Sessions without a transaction, whose reads MikroORM sends to replicas: they are no less guarded than on the primary. */
import type { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { servers, type SqlORM, type TestDatabase } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

/** An application with one replica, which is the database `replica`. */
async function replicated (t: Test, database: TestDatabase, replica: object, options: Omit<ScopedDbOptions, 'orm'> = {}): Promise<{ app: FastifyInstance, orm: SqlORM }> {
  const orm = await database.connect({ pool: { max: 2 }, replicas: [{ name: 'replica', ...replica }] } as never)
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'replicated', ...options })
  t.teardown(async () => {
    await app.close()
    await orm.close()
  })
  return { app, orm }
}

const insert = "insert into item (label, amount) values ('late', 0)"

type Way = (em: SqlEntityManager) => Promise<unknown>

/** Every way to send something to the one or the other. */
const READS: Record<string, Way> = {
  find: async em => await em.find(Item, {}),
  count: async em => await em.count(Item),
  'find on the primary': async em => await em.find(Item, {}, { connectionType: 'write' }),
  execute: async em => await em.execute('select 1'),
  'execute on a replica': async em => await em.execute('select 1', [], { connectionType: 'read' }),
  'query builder': async em => await em.createQueryBuilder(Item).select('*').execute(),
  connection: async em => await em.getConnection('read').execute('select 1'),
  Kysely: async em => await em.getKysely({ type: 'read' }).selectFrom('item' as never).selectAll().execute(),
  'Kysely of the connection': async em => await em.getConnection('read').getClient().selectFrom('item' as never).selectAll().execute(),
  stream: async em => { for await (const item of em.stream(Item, {})) item.label.at(0) },
  'stream of the connection': async em => { for await (const row of em.getConnection('read').stream('select 1')) Object.keys(row) }
}

const WRITES: Record<string, Way> = {
  insert: async em => await em.insert(Item, { label: 'late', amount: 0 }),
  insertMany: async em => await em.insertMany(Item, [{ label: 'late', amount: 0 }]),
  nativeUpdate: async em => await em.nativeUpdate(Item, {}, { amount: 1 }),
  nativeDelete: async em => await em.nativeDelete(Item, {}),
  upsert: async em => await em.upsert(Item, { label: 'late', amount: 0 }),
  flush: async em => await em.persist(em.create(Item, { label: 'late' })).flush(),
  transactional: async em => await em.transactional(async inner => await inner.insert(Item, { label: 'late', amount: 0 })),
  execute: async em => await em.execute(insert),
  'query builder': async em => await em.createQueryBuilder(Item).insert({ label: 'late', amount: 0 }).execute(),
  connection: async em => await em.getConnection().execute(insert),
  'connection of a replica': async em => await em.getConnection('read').execute(insert),
  'dump on the connection': async em => await em.getConnection().executeDump(insert),
  'transaction on a replica': async em => await em.getConnection('read').transactional(async trx => await em.getConnection('read').execute(insert, [], 'run', trx)),
  driver: async em => await em.getDriver().nativeInsert(Item, { label: 'late', amount: 0 } as never),
  Kysely: async em => await em.getKysely().insertInto('item' as never).values({ label: 'late', amount: 0 }).execute(),
  'Kysely of a replica': async em => await em.getKysely({ type: 'read' }).insertInto('item' as never).values({ label: 'late', amount: 0 }).execute()
}

onEachDatabase('reads go to the replica, writes to the primary', { kinds: servers }, async (t, { database, labels, dialect }) => {
  const { app } = await replicated(t, database, { dbName: dialect.otherDatabase })
  app.get('/', async request => {
    const em = request.db
    for (const way of ['find', 'count', 'query builder', 'Kysely', 'Kysely of the connection', 'stream']) await t.rejects((READS[way] as Way)(em), dialect.noSuchTable, way)
    for (const way of ['find on the primary', 'execute', 'execute on a replica', 'connection', 'stream of the connection']) await (READS[way] as Way)(em)
    const of = async (type: 'read' | 'write') => (await em.getConnection(type).execute<{ name: string }[]>(dialect.databaseName))[0]?.name
    t.equal(await of('read'), dialect.otherDatabase)
    t.not(await of('write'), dialect.otherDatabase)
    t.equal(em.getConnection('read'), em.getConnection('read'))
    t.not(em.getConnection('read'), em.getConnection('write'))
    await (WRITES['flush'] as Way)(em)
    await em.transactional(async inner => { t.equal(await inner.count(Item), 1, 'a transaction is on the primary') })
    t.equal(await em.fork().count(Item, {}, { connectionType: 'write' }), 1, 'a fork is not of the scope')
    return 'ok'
  })
  t.equal((await app.inject('/')).body, 'ok')
  t.same(await labels(), ['late'])
})

for (const isReadOnly of [false, true]) {
  onEachDatabase(`a session that is closed refuses every way to the primary and to replicas (readOnly: ${isReadOnly})`, { kinds: servers }, async (t, { database, labels }) => {
    const { app } = await replicated(t, database, {}, { readOnly: isReadOnly })
    const kept: SqlEntityManager[] = []
    const late = new Gate<unknown>()
    app.get('/', async request => {
      const em = request.db
      const connections = [em.getConnection('read'), em.getConnection('write')]
      const clients = [em.getKysely(), em.getKysely({ type: 'read' }), ...connections.map(connection => connection.getClient())]
      for (const [name, read] of Object.entries(READS)) await t.resolves(read(em), name)
      if (isReadOnly) for (const [name, write] of Object.entries(WRITES)) await t.rejects(write(em), { code: 'FST_SCOPED_DB_READ_ONLY' }, name)
      kept.push(em)
      late.open(async () => {
        for (const connection of connections) {
          for (const sql of ['select 1', insert]) await t.rejects(connection.execute(sql), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }, sql)
          await t.rejects(connection.executeDump(insert), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
          await t.rejects(connection.begin(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
        }
        for (const client of clients as { insertInto: (table: string) => { values: (row: object) => { execute (): Promise<unknown> } } }[]) await t.rejects(client.insertInto('item').values({ label: 'late', amount: 0 }).execute(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
      })
      return 'ok'
    })
    t.equal((await app.inject('/')).body, 'ok')
    const [em] = kept as [SqlEntityManager]
    for (const [name, way] of Object.entries({ ...READS, ...WRITES })) await t.rejects(async () => await way(em), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }, name)
    await (await late.opened as () => Promise<void>)()
    t.same(await labels(), [])
  })
}

onEachDatabase('acquireTimeout is about replicas, too', { kinds: servers }, async (t, { database, dialect }) => {
  const { app } = await replicated(t, database, {}, { acquireTimeout: 300 })
  app.get('/', async request => await request.db.createQueryBuilder(Item).select('*').execute())
  app.get('/slow', async request => { await request.db.execute(`select ${dialect.sleep(1)}`, [], { connectionType: 'read' }) })
  app.get('/stream', async request => { for await (const item of request.db.stream(Item, {})) item.label.at(0) })
  const slow = ['/slow', '/slow'].map(async url => (await app.inject(url)).statusCode)
  while (app.db.pool.inUse.size < 2) await new Promise(setImmediate)
  for (const url of ['/', '/stream']) t.match((await app.inject(url)).json(), { statusCode: 503, code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' }, url)
  t.same(await Promise.all(slow), [200, 200])
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal(app.db.pool.inUse.size, 0)
})

onEachDatabase('with commitOnTeardown what is sent to a replica is in the transaction, on the primary', { kinds: servers }, async (t, { database, labels, dialect }) => {
  const { app } = await replicated(t, database, { dbName: dialect.otherDatabase }, { commitOnTeardown: true })
  app.post('/', async (request, reply) => {
    for (const [name, way] of Object.entries(READS)) await t.resolves(way(request.db), name)
    await (WRITES['connection of a replica'] as Way)(request.db)
    await request.db.getConnection('read').executeDump("insert into item (label, amount) values ('dumped', 0)")
    return await reply.code(409).send()
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 409)
  t.same(await labels(), [])
})

onEachDatabase('a stored procedure with an out parameter has one connection to itself', { kinds: ['mysql'] }, async (t, { database }) => {
  const { Routine, ScalarReference } = await import('@mikro-orm/core')
  await database.witness.driver.execute('create procedure twice (in n int, out doubled int) begin set doubled = 2 * n; end')
  const twice = Routine.create<{ n: number, doubled: InstanceType<typeof ScalarReference<number>> }, unknown>({ name: 'twice', type: 'procedure', params: { n: { type: 'int' }, doubled: { type: 'int', direction: 'out', ref: true } }, body: 'set doubled = 2 * n' } as never)
  for (const replicas of [[], [{ name: 'replica' }]]) {
    const orm = await database.connect({ routines: [twice], replicas } as never)
    const app = Fastify()
    await app.register(scopedDb, { orm, name: `routines ${replicas.length}` })
    app.post('/', async request => {
      const call = async (n: number) => {
        const doubled = new ScalarReference<number>()
        await request.db.callRoutine(twice, { n, doubled })
        return doubled.unwrap()
      }
      return await Promise.all([1, 2, 3, 4].map(call))
    })
    const response = await app.inject({ method: 'POST', url: '/' })
    t.same(response.json(), [2, 4, 6, 8])
    await app.close()
    await orm.close()
  }
})
