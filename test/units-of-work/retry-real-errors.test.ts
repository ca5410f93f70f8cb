/** Transient errors that a database itself gives. */
import { createDatabase, servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { AGAIN, post, retry } from '../support/retries.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('a real deadlock', { ...automatic, kinds: servers }, async (t, stage) => {
  const { app, labels, database, dialect } = stage
  await database.witness.em.fork().insertMany(Item, [{ label: 'a', amount: 0 }, { label: 'b', amount: 0 }])
  const first = { a: new Gate(), b: new Gate() }
  app.post<{ Params: { label: 'a' | 'b' } }>('/:label', { config: { db: { retry: 5 } } }, async request => {
    const { label } = request.params
    const other = label === 'a' ? 'b' : 'a'
    await request.db.execute('update item set amount = amount + 1 where label = ?', [label])
    first[label].open()
    await first[other].opened
    await request.db.execute('update item set amount = amount + 1 where label = ?', [other])
    return 'text'
  })
  const both = await Promise.all([post(stage, '/a'), post(stage, '/b')])
  t.same(both.map(response => response.statusCode), [200, 200])
  t.same((await database.witness.em.fork().findAll(Item)).map(({ amount }) => amount), [2, 2], 'each has done its part once')
  t.match(stage.logs.find(line => line.msg === AGAIN)?.['err'], dialect.deadlock)
  t.same(await labels(), ['a', 'b'])
})

onEachDatabase('a connection lost before COMMIT was sent, and one whose COMMIT nobody knows of', { ...automatic, kinds: servers }, async (t, stage) => {
  const second = await createDatabase(stage.kind)
  const { app, orm, proxy } = await proxied(t, second, { commitOnTeardown: true, beginWithFirst: false })
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await second.drop()
  })
  let attempts = 0
  app.post<{ Params: { label: string } }>('/:label', { config: { db: { retry: { backoff: 1 } } } }, async request => {
    attempts++
    app.db.session.create(Item, { label: request.params.label })
    return 'text'
  })
  let cuts = 1
  proxy.react = sql => /insert into/i.test(sql) && cuts-- > 0 ? 'cut before' : undefined
  t.equal((await app.inject({ method: 'POST', url: '/insert' })).statusCode, 200)
  t.equal(attempts, 2)
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  t.match((await app.inject({ method: 'POST', url: '/unknown' })).json(), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.equal(attempts, 3, 'not done again')
  t.same(await stage.labels(), [])
})

onEachDatabase('a database that is locked', { ...automatic, kinds: ['sqlite'] }, async (t, stage) => {
  const { app, labels, orm, database } = stage
  await orm.driver.execute('pragma busy_timeout = 0')
  await database.witness.driver.execute('begin immediate')
  let attempts = 0
  app.post('/', retry, async request => {
    if (++attempts === 2) await database.witness.driver.execute('rollback')
    return request.db.create(Item, { label: 'a' })
  })
  t.equal((await post(stage)).statusCode, 200)
  t.equal(attempts, 2)
  t.same(await labels(), ['a'])
})
