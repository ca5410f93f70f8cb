/** config.db wherever routes come from: files, encapsulated contexts, prefixes. It is checked when the route is added. */
import autoload from '@fastify/autoload'
import Fastify from 'fastify'
import { join } from 'node:path'
import scopedDb, { db } from '../../plugin.ts'
import type { SqlORM } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { ROOT } from '../support/fences.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

interface NativeClient {
  /** better-sqlite3 */
  prepare?: (sql: string) => unknown
  /** A pool of mysql2. */
  on?: (event: 'acquire', listener: (connection: { query: (sql: string, ...rest: unknown[]) => unknown }) => void) => void
}

/** What is handed to the driver from now on: MikroORM's query log has also what was refused. */
async function watchStatements (orm: SqlORM): Promise<string[]> {
  const sent: string[] = []
  const client = await orm.driver.getConnection().getNativeClient() as NativeClient
  const { prepare } = client
  if (prepare !== undefined) {
    client.prepare = sql => {
      sent.push(sql)
      return prepare.call(client, sql)
    }
  }
  const watched = new Set<unknown>()
  client.on?.('acquire', connection => {
    if (watched.has(connection)) return
    watched.add(connection)
    const { query } = connection
    connection.query = (sql, ...rest) => {
      sent.push(sql)
      return query.call(connection, sql, ...rest)
    }
  })
  return sent
}

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('routes that @fastify/autoload finds', automatic, async (t, { app, labels }) => {
  await app.register(autoload, { dir: join(ROOT, 'test/support/routes'), options: { prefix: '/api' } })
  const post = async (url: string, label: string, headers = {}) => await app.inject({ method: 'POST', url, payload: { label }, headers })
  t.equal((await post('/api/items', 'committed')).statusCode, 200)
  t.equal((await post('/api/plain', 'never flushed')).statusCode, 200)
  t.match((await post('/api/read-only', 'refused')).json(), { statusCode: 500, code: 'FST_SCOPED_DB_READ_ONLY' })
  t.match((await app.inject('/api/none')).json(), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  t.same((await post('/api/admin/items', 'by an admin')).json(), { by: 'POST' })
  t.equal((await post('/api/admin/items', 'late', { 'x-late': 'yes' })).statusCode, 503, 'the last onSend hook decides')
  t.same(await labels(), ['by an admin', 'committed'])
})

onEachDatabase('a wrong option is refused when its route is added, wherever that is', automatic, async (t, { orm }) => {
  const withPlugin = async () => {
    const app = Fastify()
    await app.register(scopedDb, { orm, name: 'options', commitOnTeardown: true })
    return app
  }
  const app = await withPlugin()
  await t.rejects(async () => await app.register(autoload, { dir: join(ROOT, 'test/support/wrong-routes'), options: { prefix: '/api' } }), {
    code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /no option "readonly" in config\.db of GET \/api\/wrong \(did you mean "readOnly"\?\), only /
  })
  await app.close()
  const other = await withPlugin()
  await t.rejects(async () => await other.register(async child => {
    child.route({ method: ['PUT', 'PATCH'], url: '/items', config: { db: { begin: 'never' as 'write' } }, handler: async () => 'never' })
  }, { prefix: '/v1' }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"begin" in config\.db of PUT,PATCH \/v1\/items takes 'auto', 'statement', 'write', got 'never'/ })
  await other.close()
})

onEachDatabase('encapsulated contexts, several methods, and hooks of the route itself', automatic, async (t, { app, labels, assertClean }) => {
  const order: string[] = []
  await app.register(async child => {
    await child.register(async grandchild => {
      grandchild.route<{ Body: { label: string } }>({
        method: ['PUT', 'PATCH'],
        url: '/items',
        config: { db: { begin: 'write' } },
        onSend: [
          async () => { order.push(`first: ${db.hasSession()}`) },
          async (request, reply) => {
            order.push('second')
            if (request.method === 'PATCH') reply.code(422)
          }
        ],
        onResponse: async request => { order.push(`after: ${await request.db.count(Item)}`) },
        handler: async request => request.db.create(Item, request.body)
      })
    }, { prefix: '/v1' })
  }, { prefix: '/api' })
  t.equal((await app.inject({ method: 'PUT', url: '/api/v1/items', payload: { label: 'put' } })).statusCode, 200)
  t.equal((await app.inject({ method: 'PATCH', url: '/api/v1/items', payload: { label: 'patched' } })).statusCode, 422)
  await assertClean()
  t.same(order, ['first: true', 'second', 'after: 1', 'first: true', 'second', 'after: 1'])
  t.same(await labels(), ['put'])
})

onEachDatabase('HEAD has the options of its GET', automatic, async (t, { app, orm }) => {
  let begun = 0
  orm.em.getEventManager().registerSubscriber({ async afterTransactionStart () { begun++ } })
  app.get('/plain', async request => String(await request.db.count(Item)))
  app.get('/serializable', { config: { db: { isolationLevel: 'serializable' } } }, async request => String(await request.db.count(Item)))
  for (const url of ['/plain', '/serializable']) {
    t.match(await app.inject({ method: 'HEAD', url }), { statusCode: 200, body: '' })
  }
  t.equal(begun, 1)
})

onEachDatabase('a write in a read-only scope is refused before it is sent', automatic, async (t, { app, orm, labels }) => {
  const sent = await watchStatements(orm)
  const readOnly = { config: { db: { readOnly: true } } }
  app.post('/flush', readOnly, async request => {
    await request.db.count(Item)
    request.db.create(Item, { label: 'never' })
    return 'text'
  })
  app.post('/insert', readOnly, async request => await request.db.insert(Item, { label: 'never', amount: 0 }))
  app.post('/raw', readOnly, async request => await request.db.execute('delete from item'))
  app.post('/nested', readOnly, async request => await request.db.transactional(async em => { em.create(Item, { label: 'never' }) }))
  app.post('/alone', { config: { db: { readOnly: true, commitOnTeardown: false } } }, async request => {
    request.db.create(Item, { label: 'never' })
    await request.db.flush()
  })
  for (const url of ['/flush', '/insert', '/raw', '/nested', '/alone']) {
    t.match((await app.inject({ method: 'POST', url })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_READ_ONLY' }, url)
  }
  t.ok(sent.some(sql => /^select/i.test(sql)), 'the log is looked at')
  t.same(sent.filter(sql => /insert|delete/i.test(sql)), [])
  t.same(await labels(), [])
})
