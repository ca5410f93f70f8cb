/** Work that is registered in a nested transaction. */
import { TransactionPropagation } from '@mikro-orm/core'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { recorder } from '../support/recorder.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const post = async ({ app }: Stage, url = '/') => (await app.inject({ method: 'POST', url })).statusCode

onEachDatabase('what is registered in a nested transaction shares its fate', automatic, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  app.post('/', async request => {
    works.await('outer')
    await request.db.transactional(async () => {
      works.await('released')
      await t.rejects(request.db.transactional(async () => {
        works.await('dropped')
        throw new Error('back')
      }))
      await request.db.transactional(async () => works.await('deeper'))
    })
    await t.rejects(request.db.transactional(async () => {
      await request.db.transactional(async () => works.await('released into what is dropped'))
      throw new Error('back')
    }))
    t.same(await works.taken(), [], 'nothing before the outcome')
    await request.db.transactional(async () => works.await('joined'), { propagation: TransactionPropagation.REQUIRED })
    return 'text'
  })
  t.equal(await post(stage), 200)
  t.same(await works.taken(), ['outer committed', 'released committed', 'deeper committed', 'joined committed'])
})

onEachDatabase('a transaction of its own has an outcome of its own', { ...automatic, kinds: servers }, async (t, stage) => {
  const { app } = stage
  const works = recorder()
  const alone = { propagation: TransactionPropagation.REQUIRES_NEW }
  app.post('/', async request => {
    works.await('outer')
    await request.db.transactional(async () => works.await('alone'), alone)
    t.same(await works.taken(), ['alone committed'])
    await t.rejects(request.db.transactional(async () => {
      works.await('alone, too')
      throw new Error('back')
    }, alone))
    t.same(await works.taken(), ['alone, too rolled back'])
    throw new Error('thrown')
  })
  t.equal(await post(stage), 500)
  t.same(await works.taken(), ['outer rolled back'])
})

onEachDatabase('each database has its own savepoints', automatic, async (t, stage) => {
  const works = recorder()
  await stage.addDatabase('analytics', automatic.plugin)
  const analytics = db.use('analytics')
  await db.run(async session => {
    await t.rejects(analytics.session.transactional(async () => {
      works.await('of analytics', analytics)
      works.await('of default')
      throw new Error('back')
    }))
    await session.transactional(async () => works.await('analytics in default', analytics))
  })
  t.same(await works.taken(), ['of default committed', 'analytics in default committed'])
})
