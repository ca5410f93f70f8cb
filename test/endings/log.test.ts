/** One line in the log for each scope that has used the database. */
import { setTimeout } from 'node:timers/promises'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { untilQueued } from '../support/dialect.ts'
import { onEachDatabase, type LogLine } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const DEBUG = 20
const WARN = 40

/** Those that tell of scopes, without what a database takes for it. */
function linesIn (logs: LogLine[]): unknown[] {
  return logs.filter(({ msg }) => msg.startsWith('a unit of work ')).map(({ level, scope, outcome, reason, statements }) => ({ level, scope, outcome, reason, statements }))
}

onEachDatabase('each scope that has used the database has a line, of level debug', automatic, async (t, { app, logs, assertClean }) => {
  app.log.level = 'debug'
  app.post('/insert', async request => request.db.create(Item, { label: 'inserted' }))
  app.get('/count', async request => await request.db.count(Item).then(String))
  app.post('/conflict', async (request, reply) => {
    await request.db.insert(Item, { label: 'conflict', amount: 0 })
    return await reply.code(409).send()
  })
  app.post('/same', async request => {
    for (const label of ['same', 'same']) request.db.create(Item, { label })
    return 'ok'
  })
  app.post('/stream', async request => {
    for await (const item of request.db.stream(Item, {})) t.ok(item)
    return 'ok'
  })
  app.get('/unused', async request => typeof request.db)
  app.get('/untouched', async () => 'ok')
  const line = (outcome: string, reason: string, statements: number, scope = 'request') => ({ level: DEBUG, scope, outcome, reason, statements })
  for (const [method, url, expected] of [
    ['POST', '/insert', line('commit', 'status 200', 1)],
    ['GET', '/count', line('commit', 'status 200', 1)],
    ['POST', '/conflict', line('rollback', 'status 409', 1)],
    ['POST', '/same', line('rollback', 'its commit has failed', 1)],
    ['POST', '/stream', line('commit', 'status 200', 1)],
    ['GET', '/unused', undefined],
    ['GET', '/untouched', undefined]
  ] as const) {
    logs.length = 0
    await app.inject({ method, url })
    await assertClean()
    const lines = linesIn(logs)
    t.equal(lines.length, expected === undefined ? 0 : 1, url)
    t.match(lines, expected === undefined ? [] : [{ ...expected, statements: /^[12]$/ }], url)
    const timed = (logs as unknown as { milliseconds?: number, waited: number }[]).filter(({ milliseconds }) => milliseconds !== undefined)
    t.equal(timed.length, lines.length, url)
    for (const { milliseconds = 0, waited } of timed) t.ok(waited >= 0 && waited <= milliseconds, url)
  }
  logs.length = 0
  await db.run(async session => await session.insert(Item, { label: 'run', amount: 0 }))
  await t.rejects(db.run(async session => { await session.count(Item); throw new Error('no') }))
  {
    await using scope = db.open()
    await scope.session.count(Item)
  }
  {
    await using scope = db.open()
    await scope.session.insert(Item, { label: 'open', amount: 0 })
    await scope.commit()
  }
  t.same(linesIn(logs), [
    line('commit', 'db.run() has ended', 1, 'db.run'),
    line('rollback', 'db.run() has thrown', 1, 'db.run'),
    line('rollback', 'closed before it had an outcome', 1, 'db.open'),
    line('commit', 'by hand', 1, 'db.open')
  ])
})

onEachDatabase('what statements have waited for a connection is told, inside the transaction and outside', { ...automatic, orm: { pool: { max: 1 } }, kinds: servers }, async (t, { app, logs, orm, assertClean }) => {
  app.log.level = 'debug'
  app.post('/insert', async request => await request.db.insert(Item, { label: 'inserted', amount: 0 }))
  app.get('/count', async request => await request.db.count(Item))
  app.get('/stream', async request => { for await (const item of request.db.stream(Item, {})) t.match(item, { label: 'inserted' }) })
  await app.ready()
  for (const [method, url] of [['POST', '/insert'], ['GET', '/count'], ['GET', '/stream']] as const) {
    logs.length = 0
    const answer = await app.db.run(async session => {
      await session.execute('select 1 for update')
      const answer = app.inject({ method, url })
      await untilQueued(orm)
      const from = performance.now()
      await setTimeout(20)
      return { answer, held: performance.now() - from }
    })
    t.equal((await answer.answer).statusCode, 200, url)
    await assertClean()
    const line = logs.find(({ scope, msg }) => scope === 'request' && msg.startsWith('a unit of work ')) as { waited?: number } | undefined
    // It is told in tenths of a millisecond.
    t.ok(Number(line?.waited) + 0.1 >= answer.held, url)
  }
})

onEachDatabase('a reply of success that is rolled back is a warning, at any level', automatic, async (t, { app, logs, labels, assertClean }) => {
  app.setErrorHandler(async (_error, _request, reply) => await reply.code(200).send('swallowed'))
  app.post('/doomed', async request => {
    await request.db.insert(Item, { label: 'doomed', amount: 0 })
    db.setRollbackOnly()
    return 'ok'
  })
  app.post('/swallowed', async request => {
    request.db.create(Item, { label: 'swallowed' })
    throw new Error('swallowed')
  })
  app.post('/harmless', async request => {
    await request.db.count(Item)
    throw new Error('swallowed')
  })
  for (const [url, expected] of Object.entries({ '/doomed': 'doomed', '/swallowed': 'an error was thrown or sent', '/harmless': undefined })) {
    logs.length = 0
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 200)
    await assertClean()
    t.equal(linesIn(logs).length, expected === undefined ? 0 : 1, url)
    t.match(linesIn(logs), expected === undefined ? [] : [{ level: WARN, scope: 'request', outcome: 'rollback', reason: expected }], url)
  }
  t.same(await labels(), [])
})
