/** A COMMIT that fails after that of another database. */
import scopedDb, { db } from '../../plugin.ts'
import { createDatabase, servers, type SqlORM } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { proxied } from '../support/proxied.ts'
import { addSecond, session } from '../support/second-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const labelsIn = async (orm: SqlORM) => (await orm.em.fork().find(Item, {}, { orderBy: { label: 'asc' } })).map(({ label }) => label)

onEachDatabase('a COMMIT that fails after another went through is an error, and the log says what is where', { ...automatic, kinds: ['sqlite'] }, async (t, stage) => {
  const { app, labels, logs } = stage
  const second = await addSecond(stage)
  await second.orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  const third = await createDatabase('sqlite')
  await app.register(scopedDb, { orm: third.options, name: 'third', commitOnTeardown: true })
  await stage.addDatabase('read', automatic.plugin)
  t.teardown(async () => {
    await app.close()
    await third.drop()
  })
  app.post<{ Querystring: { alone?: string } }>('/', async request => {
    t.ok(db.use('read').session.id)
    if (request.query.alone === undefined) request.db.create(Item, { label: 'first' })
    await session.getConnection().execute('insert into child (item_id) values (4711)', [], 'run', session.getTransactionContext())
    db.use('third').session.create(Item, { label: 'third' })
    return 'text'
  })
  const partly = await app.inject({ method: 'POST', url: '/' })
  t.match(partly.json(), { statusCode: 500, code: 'FST_SCOPED_DB_PARTLY_COMMITTED' })
  t.notMatch(partly.body, /FOREIGN|analytics|third/)
  const line = logs.find(line => line.msg === 'a unit of work is not in all of its databases')
  t.match(line, { reqId: /./, err: { code: 'FST_SCOPED_DB_PARTLY_COMMITTED', message: /FOREIGN KEY/ } })
  t.same([line?.['committed'], line?.['notCommitted'], line?.['unknown']], [['default'], ['analytics', 'third'], []], 'not the one that was only read')
  t.same([await labels(), await second.labels(), await labelsIn(third.witness)], [['first'], [], []])

  const none = await app.inject({ method: 'POST', url: '/?alone=yes' })
  t.match(none.json(), { statusCode: 500, message: 'A database error occurred' }, 'the first COMMIT of all fails: nothing special')
  t.equal(logs.filter(line => line.msg === 'a unit of work is not in all of its databases').length, 1)
  t.same(await labelsIn(third.witness), [])
})

onEachDatabase('a COMMIT that nobody knows of, beside another database', { ...automatic, kinds: servers }, async (t, stage) => {
  const second = await createDatabase(stage.kind)
  const { app, orm, proxy } = await proxied(t, second, { commitOnTeardown: true })
  const logs: Record<string, unknown>[] = []
  app.log.error = (details: Record<string, unknown>) => { logs.push(details) }
  await app.register(scopedDb, { orm: stage.orm, name: 'beside', commitOnTeardown: true })
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  await app.ready()
  const work = app.db.run(async session => {
    t.equal(app.db.name, 'proxied', 'the first, since none is named default')
    session.create(Item, { label: 'unknown' })
    app.db.use('beside').session.create(Item, { label: 'beside' })
  })
  await t.rejects(work, { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.same(logs.map(({ committed, notCommitted, unknown }) => ({ committed, notCommitted, unknown })), [{ committed: [], notCommitted: ['beside'], unknown: ['proxied'] }])
  proxy.react = () => undefined
  t.same([await labelsIn(second.witness), await stage.labels()], [['unknown'], []])
  t.teardown(async () => {
    await app.close()
    await orm.close()
    await second.drop()
  })
})
