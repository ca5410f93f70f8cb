import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('a commit while a query stream is open inside the transaction', automatic, async (t, { app, labels }) => {
  app.post('/', async request => {
    for (const label of ['a', 'b']) request.db.create(Item, { label })
    await request.db.flush()
    const rows = request.db.stream(Item, {})
    await rows[Symbol.asyncIterator]().next()
    if (request.headers['x-read'] !== undefined) for await (const row of rows) t.ok(row)
    return 'ok'
  })
  const left = await app.inject({ method: 'POST', url: '/' })
  t.match(left.json(), { statusCode: 500, code: 'FST_SCOPED_DB_OPEN_STREAM' })
  t.same(await labels(), [])
  t.equal((await app.inject({ method: 'POST', url: '/', headers: { 'x-read': 'all' } })).statusCode, 200)
  t.same(await labels(), ['a', 'b'])
})

onEachDatabase('a query stream that its scope outruns is cut, not ended', automatic, async (t, { app, assertClean }) => {
  await app.ready()
  const rows = await db.run(async session => {
    for (const label of ['a', 'b', 'c']) await session.insert(Item, { label, amount: 0 })
    const rows = session.stream(Item, {})
    await rows.next()
    await db.rollback()
    return rows
  })
  await t.rejects(rows.next(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is closed\./ })
  await assertClean()
})

onEachDatabase('a query stream outside the transaction ends with its scope, too', { plugin: { commitOnTeardown: true, begin: 'write' } }, async (t, { app, orm, assertClean }) => {
  const em = orm.em.fork()
  for (const label of ['a', 'b', 'c']) await em.insert(Item, { label, amount: 0 })
  await app.ready()
  const rows = await db.run(async session => {
    const rows = session.stream(Item, {})
    await rows.next()
    return rows
  })
  await assertClean()
  await t.rejects(rows.next(), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
})

onEachDatabase('a query stream that fails', automatic, async (t, { app }) => {
  app.post('/', async request => {
    const em = request.db
    for await (const row of em.getKysely<{ nowhere: object }>().selectFrom('nowhere').selectAll().stream()) t.fail(String(row))
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'A database error occurred' })
})
