/** What is found out at start: a database that cannot be used, and a MikroORM that is none of ours. */
import { MikroORM as MySqlORM } from '@mikro-orm/mysql'
import { MikroORM as SqliteORM, SqliteDriver } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import t from 'tap'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { freePort } from '../support/server.ts'
import { mysqlUrl } from '../support/server-urls.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

async function start (options: object): Promise<string> {
  const logged: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { logged.push(line) } } } })
  try {
    await app.register(scopedDb, options as ScopedDbOptions)
    await app.ready()
  } finally {
    await app.close()
  }
  return logged.join('')
}

async function silentServer (): Promise<Server> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const CANNOT = 'FST_SCOPED_DB_CANNOT_CONNECT'

onEachDatabase('checkConnection: nothing where all is well', {}, async (t, { database }) => {
  t.equal(await start({ orm: database.options, checkConnection: true }), '')
})

void t.test('checkConnection: a database that cannot be reached, or lets nobody in, fails the start with one line', { skip: mysqlUrl() === undefined }, async t => {
  const url = new URL(String(mysqlUrl()))
  const options = { driver: (await import('@mikro-orm/mysql')).MySqlDriver, entities: [Item], clientUrl: url.href, dbName: 'mysql' }
  const closed = { ...options, clientUrl: `mysql://root@127.0.0.1:${await freePort()}` }
  await t.rejects(start({ orm: closed, name: 'main', checkConnection: true }), { code: CANNOT, message: 'fastify-scoped-db: the database "main" cannot be reached (ECONNREFUSED)', cause: Error })
  await t.rejects(start({ orm: { ...options, replicas: [{ clientUrl: closed.clientUrl }] }, checkConnection: true }), { code: CANNOT, message: /"default" cannot be reached \(ECONNREFUSED\)/ })
  await t.rejects(start({ orm: { ...options, user: 'nobody', password: 'wrong', clientUrl: undefined, host: url.hostname, port: Number(url.port) }, checkConnection: true }), { code: CANNOT, message: /lets nobody in \(ER_\w+\)/ })
  await t.rejects(start({ orm: { ...options, dbName: 'not_there', ensureDatabase: false }, checkConnection: true }), { code: CANNOT, message: /lets nobody in \(ER_BAD_DB_ERROR\)/ })
  const server = await silentServer()
  const { port } = server.address() as AddressInfo
  await t.rejects(start({ orm: { ...options, clientUrl: `mysql://root@127.0.0.1:${port}` }, checkConnection: true, acquireTimeout: 100, closeTimeout: 100 }), { code: CANNOT, message: /has not answered within 100 ms/ })
  server.close()
  t.equal(await start({ orm: closed }), '', 'without it the first statement connects')
})

void t.test('a MikroORM 6, and one of another copy of @mikro-orm/core, are told apart from what is none', async t => {
  class MikroORM { em = {}; config = {}; driver = {} }
  class Six extends MikroORM { getSchemaGenerator () {} }
  class Driver {}
  for (const [given, message] of [
    [new Six(), /"orm" takes a MikroORM instance.*got one of MikroORM 6 or older/],
    [new MikroORM(), /got a MikroORM of another copy of @mikro-orm\/core.*npm ls @mikro-orm\/core.*vitest/],
    [{ driver: Driver, dbName: 'a' }, /got options with a driver that is of another copy/],
    [{ driver: SqliteDriver, dbName: ':memory:' }, undefined]
  ] as [object, RegExp | undefined][]) {
    if (message === undefined) await t.resolves(start({ orm: { ...given, entities: [Item] } }))
    else await t.rejects(start({ orm: given }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message })
  }
})

void t.test('an ORM whose entities are a readonly tuple fits the types', async t => {
  const app = Fastify()
  const orm = await SqliteORM.init({ entities: [Item] as const, dbName: ':memory:' })
  await app.register(scopedDb, { orm })
  const mysql: () => ScopedDbOptions = () => ({ orm: new MySqlORM({ entities: [Item] as const }) })
  t.type(mysql, 'function')
  await app.close()
  await orm.close()
})

onEachDatabase('a database that does not exist yet is made by the first request, whatever comes beside it', { kinds: servers }, async (t, { database }) => {
  for (const options of [{ commitOnTeardown: true }, { commitOnTeardown: false }, { commitOnTeardown: true, replicas: {} }, { commitOnTeardown: false, replicas: {} }]) {
    for (const url of ['/read', '/kysely', '/write', '/write']) {
      const dbName = `${String(database.witness.config.get('dbName'))}_made`
      const orm = await database.connect({ dbName, ensureDatabase: { create: true }, ...'replicas' in options && { replicas: [{ name: 'replica' }] } } as never)
      const app = Fastify()
      await app.register(scopedDb, { orm, name: 'made', ...options })
      app.get('/read', async request => String(await request.db.count(Item)))
      app.get('/kysely', async request => { await request.db.execute('select 1'); return String((await request.db.getKysely().selectFrom('item' as never).selectAll().execute()).length) })
      app.get('/write', async request => {
        request.db.create(Item, { label: request.id })
        await request.db.flush()
        return String(await request.db.count(Item, { label: request.id }))
      })
      const answers = await Promise.all(Array.from({ length: 6 }, async () => await app.inject(url)))
      t.same(answers.map(({ statusCode, body }) => [statusCode, body]), Array(6).fill([200, url === '/write' ? '1' : '0']), `${url} ${JSON.stringify(options)}`)
      t.equal(app.db.openScopes, 0)
      await app.close()
      await orm.close()
      await database.witness.driver.execute(`drop database ${database.witness.driver.getPlatform().quoteIdentifier(dbName)}`)
    }
  }
})

onEachDatabase('hooks of the pool that throw cost no place in it', { kinds: servers }, async (t, { database }) => {
  for (const hook of ['onCreateConnection', 'onReserveConnection'] as const) {
    for (const replicas of [[], [{ name: 'replica' }]]) {
      let calls = 0
      const fails = async () => { if (++calls <= 5) throw new Error('not this one') }
      const orm = await database.connect({ pool: { max: 2 }, replicas, [hook]: fails } as never)
      const app = Fastify()
      await app.register(scopedDb, { orm, name: `${hook} ${replicas.length}`, acquireTimeout: 2_000 })
      app.get('/', async request => {
        await request.db.execute('select 1')
        await request.db.createQueryBuilder(Item).select('*').execute()
      })
      const statuses: number[] = []
      while (statuses.at(-1) !== 200 && statuses.length < 10) statuses.push((await app.inject('/')).statusCode)
      t.same(new Set(statuses), new Set([500, 200]), hook)
      t.equal(calls > 5, true)
      t.same((await Promise.all(Array.from({ length: 5 }, async () => await app.inject('/')))).map(({ statusCode }) => statusCode), Array(5).fill(200))
      t.same(await database.leftovers(orm), [])
      await app.close()
      await orm.close()
    }
  }
  const orm = await database.connect({ onReserveConnection: async () => {} })
  await orm.connect()
  t.match(await start({ orm }), /onReserveConnection throws, the pool loses a place/)
  await orm.close()
})
