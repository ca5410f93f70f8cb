import Fastify from 'fastify'
import scopedDb, { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { deadlock, failing, type Handler, LAST, post } from '../support/retries.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('a predicate widens and narrows', automatic, async (t, stage) => {
  const { app } = stage
  const asked: boolean[] = []
  const add = (url: string, when: (error: unknown, isTransient: boolean) => boolean, error: () => unknown) => {
    const attempts = failing(1, error)
    app.post(url, { config: { db: { retry: { attempts: 2, backoff: 1, when } } } }, async request => {
      await request.db.count(Item)
      attempts.fail()
      return String(attempts.asked)
    })
  }
  add('/wider', (error, isTransient) => {
    asked.push(isTransient)
    return (error as Error).message === 'try again'
  }, () => new Error('try again'))
  add('/narrower', (_error, isTransient) => {
    asked.push(isTransient)
    return false
  }, deadlock)
  add('/no-boolean', () => 'yes' as never, deadlock)
  add('/throws', () => { throw new Error('of the predicate') }, deadlock)
  t.match(await post(stage, '/wider'), { statusCode: 200, body: '2' })
  t.match((await post(stage, '/narrower')).json(), { statusCode: 500, code: 'ER_LOCK_DEADLOCK' })
  t.same(asked, [false, true])
  t.equal((await post(stage, '/no-boolean')).statusCode, 500)
  t.match((await post(stage, '/throws')).json(), { statusCode: 500, message: 'of the predicate' })
})

onEachDatabase('a predicate is asked once about each attempt', automatic, async (t, stage) => {
  const { app, logs } = stage
  const asked: unknown[] = []
  const when = (error: unknown) => asked.push(error) > 0
  const fails: Record<string, Handler> = {
    async thrown () { throw deadlock() },
    sent (_request, reply) { void reply.send(deadlock()) }
  }
  for (const [name, handler] of Object.entries(fails)) {
    app.post(`/${name}`, { config: { db: { retry: { attempts: 2, backoff: 1, when } } } }, (request, reply) => handler(request, reply, () => {}))
  }
  for (const name of Object.keys(fails)) {
    asked.length = logs.length = 0
    t.match((await post(stage, `/${name}`)).json(), { statusCode: 503, code: 'FST_SCOPED_DB_RETRIES_EXHAUSTED' }, name)
    t.match(asked, [{ code: 'ER_LOCK_DEADLOCK' }, { code: 'ER_LOCK_DEADLOCK' }], name)
    t.equal(asked.length, 2)
    t.equal(logs.filter(({ msg }) => msg === LAST).length, 1)
  }
})

onEachDatabase('wrong options', automatic, async (t, { app, orm }) => {
  const add = (retry: unknown) => async () => app.get('/', { config: { db: { retry: retry as number } } }, async () => 'ok')
  for (const given of [1, 0, 101, 2.5, '3', true, []]) await t.rejects(add(given), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"retry" in config\.db of GET \/ takes a number of attempts from 2 to 100/ })
  await t.rejects(add({ attempts: 1 }), { message: /"retry\.attempts"/ })
  await t.rejects(add({ backoff: 0 }), { message: /"retry\.backoff"/ })
  await t.rejects(add({ when: async () => true }), { message: /"retry\.when".* a function \(error, isTransient\) => boolean that is not async/ })
  await t.rejects(add({ times: 3 }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"retry\.times"/ })
  await t.rejects(db.run(() => {}, { retry: 1 }), { message: /"retry" of db\.run\(\)/ })
  await t.rejects(db.run(() => {}, { retry: 3, commitOnTeardown: false }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"retry" of db\.run\(\) takes a commitOnTeardown/ })
  t.throws(() => db.open({ retry: 3 } as object), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"retry" of db\.open\(\)/ })
  const late = Fastify()
  late.get('/early', { config: { db: { retry: 3 } } }, async () => 'ok')
  await t.rejects(async () => await late.register(scopedDb, { orm, retry: 3 } as object), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION' })
  await late.close()
  const early = Fastify()
  early.get('/early', { config: { db: { retry: 3 } } }, async () => 'ok')
  await early.register(scopedDb, { orm, commitOnTeardown: true })
  t.match((await early.inject('/early')).json(), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"retry" in config\.db of GET \/early takes a route that is added after the plugin was registered, got one that was added before/ })
  await early.close()
})
