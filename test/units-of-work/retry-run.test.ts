import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { AGAIN, failing } from '../support/retries.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('db.run() does its function again', automatic, async (t, stage) => {
  const { app, labels, logs } = stage
  await app.ready()
  const attempts = failing(2)
  const sessions = new Set<unknown>()
  const result = await db.run(async session => {
    sessions.add(session.id)
    session.create(Item, { label: 'a' })
    await session.flush()
    attempts.fail()
    return 'result'
  }, { retry: { backoff: 1 } })
  t.equal(result, 'result')
  t.same([attempts.asked, sessions.size, await labels()], [3, 3, ['a']])
  t.equal(logs.filter(line => line.msg === AGAIN).length, 2)
  const always = failing(9)
  await t.rejects(db.run(always.fail, { retry: { attempts: 2, backoff: 1 } }), { code: 'FST_SCOPED_DB_RETRIES_EXHAUSTED', statusCode: 503, cause: { errno: 1213 } })
  t.equal(always.asked, 2)
  const byHand = failing(9)
  await t.rejects(db.run(async session => {
    session.create(Item, { label: 'by hand' })
    await db.commit()
    byHand.fail()
  }, { retry: 3 }), { message: /Deadlock/ })
  t.equal(byHand.asked, 1, 'part of it is committed')
  await t.rejects(db.run(() => { throw new Error('for good') }, { retry: 3 }), { message: 'for good' })
  t.same(await labels(), ['a', 'by hand'])
})
