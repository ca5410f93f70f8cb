import type { SqlEntityManager } from '@mikro-orm/mysql'
import Fastify from 'fastify'
import { sql } from 'kysely'
import scopedDb from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

onEachDatabase('readOnly refuses writes before they are sent', { plugin: { commitOnTeardown: true, readOnly: true } }, async (t, { app, labels, kind }) => {
  app.post('/insert', async request => request.db.create(Item, { label: 'a' }))
  app.post('/native', async request => await request.db.nativeDelete(Item, {}))
  app.post('/read', async request => await request.db.count(Item).then(String))
  app.get('/read', async request => await request.db.count(Item).then(String))
  app.post('/nested', async request => await request.db.transactional(async em => await em.count(Item)).then(String))
  app.post('/beside', async request => await request.db.transactional(async em => await em.nativeDelete(Item, {}), { propagation: 'requires_new' as never }))
  app.post('/manual', { config: { db: { commitOnTeardown: false } } }, async request => {
    await t.rejects(request.db.insert(Item, { label: 'b', amount: 0 }), { code: 'FST_SCOPED_DB_READ_ONLY' })
    request.db.create(Item, { label: 'a' })
    await request.db.flush()
  })
  app.post('/manual-doubtful', { config: { db: { commitOnTeardown: false } } }, async request => {
    t.equal(request.db.getKysely().isTransaction, false)
    for (const sql of ["select 'into the wild'", 'select 1 for update', 'select @a := 1']) await t.rejects(request.db.execute(sql), { code: 'FST_SCOPED_DB_READ_ONLY' }, sql)
    await request.db.getKysely().connection().execute(async kysely => {
      await t.rejects(sql`select 'into the wild'`.execute(kysely), { code: 'FST_SCOPED_DB_READ_ONLY' })
      await sql`select 1`.execute(kysely)
    })
    return await request.db.transactional(async em => await em.execute("select 'into the wild'")).then(() => 'ok')
  })
  app.post('/allowed', { config: { db: { readOnly: false } } }, async request => request.db.create(Item, { label: 'allowed' }))
  const refused = ['/insert', '/native', '/manual', ...(kind === 'mysql' ? ['/beside'] : [])]
  for (const url of refused) {
    const response = await app.inject({ method: 'POST', url })
    t.match(response.json(), { statusCode: 500, code: 'FST_SCOPED_DB_READ_ONLY', message: /read only/ }, url)
  }
  for (const url of ['/read', '/nested']) t.equal((await app.inject({ method: 'POST', url })).body, '0', url)
  t.equal((await app.inject('/read')).body, '0')
  t.equal((await app.inject({ method: 'POST', url: '/manual-doubtful' })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/allowed' })).statusCode, 200)
  t.same(await labels(), ['allowed'])
})

onEachDatabase('in a read-only transaction the database judges what may write', { plugin: { commitOnTeardown: true, readOnly: true }, kinds: servers }, async (t, { app, kind, dialect, database, labels }) => {
  await database.witness.driver.execute(dialect.functionThatWrites('writes'))
  app.post('/', async request => {
    await request.db.execute("select 'into the wild'")
    await t.rejects(request.db.execute("select writes('hidden') from (select 1) one for update"), { code: 'FST_SCOPED_DB_READ_ONLY' })
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, kind === 'postgresql' ? 500 : 200, 'there it has failed with its statement')
  t.same(await labels(), [])
})

for (const commitOnTeardown of [false, true]) {
  onEachDatabase(`readOnly holds with replicas, too (commitOnTeardown: ${commitOnTeardown})`, { kinds: servers }, async (t, { database, labels }) => {
    const orm = await database.connect({ replicas: [{ name: 'replica' }] } as never)
    const app = Fastify()
    await app.register(scopedDb, { orm, name: 'replicated', readOnly: true, commitOnTeardown })
    const insert = "insert into item (label, amount) values ('escaped', 0)"
    const writes: Record<string, (em: SqlEntityManager) => Promise<unknown>> = {
      '/insert': async em => await em.insert(Item, { label: 'escaped', amount: 0 }),
      '/execute': async em => await em.execute(insert),
      '/builder': async em => await em.createQueryBuilder(Item).insert({ label: 'escaped', amount: 0 }).execute(),
      '/connection': async em => await em.getConnection().execute(insert),
      '/replica': async em => await em.getConnection('read').execute(insert),
      '/transaction': async em => await em.getConnection('read').transactional(async trx => await em.getConnection('read').execute(insert, [], 'run', trx)),
      '/flush': async em => await em.persist(em.create(Item, { label: 'escaped' })).flush()
    }
    for (const [url, write] of Object.entries(writes)) app.get(url, async request => String(await write(request.db)))
    app.get('/read', async request => String(await request.db.count(Item)))
    for (const url of Object.keys(writes)) t.match((await app.inject(url)).json(), { code: 'FST_SCOPED_DB_READ_ONLY' }, url)
    t.equal((await app.inject('/read')).body, '0')
    t.same(await labels(), [])
    await app.close()
    await orm.close()
  })
}
