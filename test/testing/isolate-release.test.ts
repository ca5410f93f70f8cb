/** Where an isolation begins and ends. */
import Fastify from 'fastify'
import scopedDb from '../../plugin.ts'
import { isolate } from '../../testing.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { insert, inside } from '../support/isolated-items.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('release() ends what still runs, and lets nothing late through', { plugin: { commitOnTeardown: true, acquireTimeout: 1_000 } }, async (t, { app, orm, labels }) => {
  const em = orm.em.fork()
  // More than a driver reads at once.
  const all = Array.from({ length: 300 }, (_, index) => `${1000 + index}`)
  await em.insertMany(Item, all.map(insert))
  const isolation = await isolate(app)
  const reader = em.stream(Item, { orderBy: { label: 'asc' } })
  t.match(await reader.next(), { value: { label: '1000' } })
  const waiting = t.rejects(inside(orm), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' })
  const scope = app.db.open()
  const late = em.fork()
  await isolation.release()
  await waiting
  await t.rejects(async () => { while ((await reader.next()).done !== true); }, { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' }, 'the end of the rows would be a lie')
  await late.insert(Item, insert('for real'))
  await scope[Symbol.asyncDispose]()
  t.same(await labels(), [...all, 'for real'])
})

onEachDatabase('units of work that go on after release() can neither write nor commit', automatic, async (t, { app, labels }) => {
  const isolation = await isolate(app)
  await using scope = app.db.open()
  await scope.session.insert(Item, insert('isolated'))
  await using unsent = app.db.open()
  unsent.session.create(Item, insert('unsent'))
  await isolation.release()
  await t.rejects(scope.session.insert(Item, insert('late')), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' })
  await t.rejects(scope.commit())
  await t.rejects(unsent.commit(), { code: 'FST_SCOPED_DB_ISOLATION_RELEASED' })
  t.same(await labels(), [])
})

onEachDatabase('release() is idempotent, and isolate() can be called again after it', automatic, async (t, { app, orm }) => {
  for (const label of ['first', 'second']) {
    const isolation = await isolate(app)
    await orm.em.fork().insert(Item, insert(label))
    t.same(await inside(orm), [label])
    await Promise.all([isolation.release(), isolation.release()])
    await isolation.release()
  }
  {
    await using isolation = await isolate(app)
    await orm.em.fork().insert(Item, insert(typeof isolation.release))
  }
  t.same(await inside(orm), [])
})

onEachDatabase('several databases of one application', automatic, async (t, { app, orm, addDatabase, labels }) => {
  const other = await addDatabase('other', { commitOnTeardown: true })
  const isolation = await isolate(app)
  await app.db.run(async session => {
    session.create(Item, { label: 'here' })
    app.db.use('other').session.create(Item as never, { label: 'there' } as never)
  })
  t.same([await inside(orm), await inside(other.orm)], [['here'], ['there']])
  await isolation.release()
  t.same([await labels(), await other.labels()], [[], []])
})

onEachDatabase('what cannot be isolated', automatic, async (t, { app, orm }) => {
  const bare = Fastify()
  await t.rejects(isolate(bare), { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
  const sharing = Fastify()
  await sharing.register(scopedDb, { orm })
  t.teardown(async () => { await sharing.close() })
  const isolation = await isolate(app)
  await t.rejects(isolate(app), { code: 'FST_SCOPED_DB_CANNOT_ISOLATE', message: /isolated already/ })
  await t.rejects(isolate(sharing), { code: 'FST_SCOPED_DB_CANNOT_ISOLATE' }, 'nor can its MikroORM in another application')
  await isolation.release()
})
