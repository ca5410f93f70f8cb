import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { rewrite } from '../support/dialect.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'

onEachDatabase('a connection that is alive and cannot roll back does not go back to the pool', {
  kinds: servers, plugin: { commitOnTeardown: true }, orm: { pool: { max: 1 } }
}, async (t, { app, orm, labels, assertClean, dialect }) => {
  const id = async () => (await app.db.session.execute<[{ id: number }]>(`select ${dialect.connectionId} as id`))[0].id
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'left open', amount: 0 })
    return await reply(await id())
  })
  const reply = async (id: number) => { throw Object.assign(new Error(`roll back ${id}`), { statusCode: 400 }) }
  app.post('/next', async request => {
    request.db.create(Item, { label: 'next' })
    return String(await id())
  })
  await app.ready()
  await app.db.run(async session => await session.count(Item))
  let cannot = true
  await rewrite(orm, sql => sql === 'rollback' && cannot ? 'rollback nonsense' : sql)
  const failed = (await app.inject({ method: 'POST', url: '/' })).json<{ message: string }>()
  t.match(failed.message, /^roll back \d+$/)
  await assertClean()
  cannot = false
  const next = await app.inject({ method: 'POST', url: '/next' })
  t.equal(next.statusCode, 200)
  t.not(`roll back ${next.body}`, failed.message, 'another connection has its place')
  t.same(await labels(), ['next'])
})

onEachDatabase('a connection that is cut at ROLLBACK', { kinds: servers }, async (t, { database, labels }) => {
  const { app, orm, proxy } = await proxied(t, database, { commitOnTeardown: true })
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'cut', amount: 0 })
    throw new Error('roll back')
  })
  for (const reaction of ['cut before', 'cut after'] as const) {
    proxy.react = sql => sql === 'rollback' ? reaction : undefined
    t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back' })
    t.equal(app.db.openScopes, 0)
  }
  proxy.react = () => undefined
  t.equal((await app.db.run(async session => await session.count(Item))), 0)
  t.same(await database.leftovers(orm), [])
  t.same(await labels(), [])
})

onEachDatabase('a ROLLBACK that is not answered, of a scope that has ended while it waited for its connection, gives up its place', { kinds: servers }, async (t, { database, labels }) => {
  const { app, orm, proxy } = await proxied(t, database, { commitOnTeardown: true, acquireTimeout: 4_000 }, { pool: { max: 1 } })
  const insert = async (label: string) => { await app.db.session.insert(Item, { label, amount: 0 }) }
  const held = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  app.post('/hold', async () => {
    await insert('held')
    held.resolve()
    await release.promise
  })
  app.post('/late', { handlerTimeout: 100 }, async () => { await insert('too late') })
  app.post('/next', async () => { await insert('next') })
  const post = async (url: string) => (await app.inject({ method: 'POST', url })).statusCode
  const holding = post('/hold')
  await held.promise
  t.equal(await post('/late'), 503)
  const stranded = new Promise<void>(resolve => {
    proxy.react = sql => {
      if (sql !== 'rollback') return undefined
      resolve()
      return 'strand'
    }
  })
  // What gives up the wait for a connection that is to be closed has looked, and has found none.
  await new Promise(resolve => { setTimeout(resolve, 700) })
  release.resolve()
  t.equal(await holding, 200)
  await stranded
  proxy.react = () => undefined
  t.equal(await post('/next'), 200)
  t.equal(app.db.openScopes, 0)
  t.same(await labels(), ['held', 'next'])
  t.same(await database.leftovers(orm), [])
})

onEachDatabase('after a rollback to a savepoint that has failed only a rollback of all is left', { kinds: servers, plugin: { commitOnTeardown: true } }, async (t, { app, orm, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'outside', amount: 0 })
    await request.db.transactional(async nested => {
      await nested.insert(Item, { label: 'inside', amount: 0 })
      throw new Error('thrown away')
    }).catch(() => undefined)
    return { gone: 'on' }
  })
  await app.ready()
  await app.db.run(async session => await session.count(Item))
  await rewrite(orm, sql => sql.startsWith('rollback to ') ? 'rollback to savepoint nonsense' : sql)
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  t.same(await labels(), [])
})
