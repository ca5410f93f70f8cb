/** Work after a commit or a rollback by hand. */
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { recorder } from '../support/recorder.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

const post = async ({ app }: Stage, url = '/') => (await app.inject({ method: 'POST', url })).statusCode

onEachDatabase('commits and rollbacks by hand', automatic, async (t, stage) => {
  const works = recorder()
  await stage.app.ready()
  await t.rejects(db.run(async session => {
    works.await('first')
    await db.commit()
    t.same(await works.taken(), ['first committed'])
    session.create(Item, { label: 'a' })
    works.await('second')
    await session.commit()
    t.same(await works.taken(), ['second committed'])
    works.await('third')
    await db.rollback()
    t.same(await works.taken(), ['third rolled back'])
    session.create(Item, { label: 'b' })
    works.await('fourth')
    await db.remove()
    t.same(await works.taken(), ['fourth rolled back'])
    works.await('fifth')
    throw new Error('thrown')
  }), { message: 'thrown' })
  t.same(await works.taken(), ['fifth rolled back'])
  await db.run(async () => {
    works.await('doomed')
    db.setRollbackOnly()
    await t.rejects(db.commit(), { code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
  })
  t.same(await works.taken(), ['doomed rolled back'])
})

onEachDatabase('without commitOnTeardown the next commit by hand counts', manual, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post('/', async request => {
    const em = request.db
    works.await('flush')
    em.create(Item, { label: 'a' })
    await em.flush()
    t.same(await works.taken(), ['flush committed'])
    await em.transactional(async () => {
      works.await('transactional')
      em.create(Item, { label: 'b' })
      await em.flush()
      await em.transactional(async () => works.await('nested'))
      await t.rejects(em.transactional(async () => {
        works.await('dropped')
        throw new Error('back')
      }))
      t.same(await works.taken(), [])
    })
    t.same(await works.taken(), ['transactional committed', 'nested committed'])
    await t.rejects(em.transactional(async () => {
      works.await('transactional')
      throw new Error('back')
    }))
    t.same(await works.taken(), ['transactional rolled back'])
    await em.begin()
    works.await('begun')
    await em.flush()
    t.same(await works.taken(), [])
    await em.commit()
    t.same(await works.taken(), ['begun committed'])
    await em.begin()
    works.await('begun')
    await em.rollback()
    t.same(await works.taken(), ['begun rolled back'])
    works.await('db.commit()')
    await db.commit()
    t.same(await works.taken(), ['db.commit() committed'])
    works.await('never committed')
    return 'text'
  })
  t.equal(await post(stage), 200)
  t.same(await works.taken(), ['never committed rolled back'])
})

onEachDatabase('a db.commit() without a session does what has waited for it', { plugin: { commitOnTeardown: true } }, async (t, { app }) => {
  const done = Promise.withResolvers<string>()
  app.post('/', async () => {
    db.afterCommit(() => { done.resolve('committed') })
    await db.commit()
    return await done.promise
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'committed')
})
