/** `echo`: statements in the log of their request, or of the application. */
import { db, type EchoOptions } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type LogLine, type Stage } from '../support/on-each-database.ts'

/** The lines of statements, and nothing else; without what is sent once on each connection. */
const echoed = (logs: LogLine[]) => logs.splice(0).filter(({ milliseconds, statements, msg }) =>
  milliseconds !== undefined && statements === undefined && !/^(?:set|start|show) |^select \w+\(\) as id(?:,|$)/.test(msg))

/** What they begin with. */
const short = (logs: LogLine[]) => echoed(logs).map(({ msg }) => /^(?:set |start )?(\w+)/.exec(msg)?.[1])

function addRoutes ({ app }: Stage, config: { db?: { echo: boolean | EchoOptions } } = {}): void {
  app.get('/:label', { config }, async request => await request.db.count(Item, { label: (request.params as { label: string }).label }).then(String))
  app.post('/:label', { config }, async request => request.db.create(Item, { label: (request.params as { label: string }).label }))
}

onEachDatabase('echo: true is one line for each statement, with the id of its request and without its values', { plugin: { commitOnTeardown: true, echo: true } }, async (t, stage) => {
  const { app, logs, assertClean } = stage
  addRoutes(stage)
  await app.inject('/secret')
  await assertClean()
  t.match(echoed(logs), [{ level: 30, reqId: /./, database: 'default', rows: 1, milliseconds: Number, msg: /^select .*\?/ }])
  await app.inject({ method: 'POST', url: '/secret' })
  await assertClean()
  const lines = echoed(logs)
  t.match(lines, [/^begin/, /^insert/, /^commit/].slice(lines.length === 3 ? 0 : 1).map(msg => ({ msg })), 'in some databases BEGIN has another statement in its place')
  t.equal(new Set(lines.map(({ reqId }) => reqId)).size, 1)
  t.notMatch(JSON.stringify(lines), 'secret')
  t.equal((await app.inject({ method: 'POST', url: '/secret' })).statusCode, 500)
  await assertClean()
  const failed = echoed(logs).filter(({ error }) => error !== undefined)
  t.match(failed, [{ level: 30, error: /./, msg: /^insert/ }])
  t.notMatch(JSON.stringify(failed), 'secret')
  await db.run(async session => await session.count(Item))
  t.match(echoed(logs).filter(({ msg }) => msg.startsWith('select')), [{ reqId: undefined, msg: /^select/ }])
})

onEachDatabase('of one route, with its values, of another level; and of none', { plugin: { commitOnTeardown: true, echo: true } }, async (t, stage) => {
  const { app, logs, assertClean } = stage
  addRoutes(stage, { db: { echo: { parameters: true, level: 'warn' } } })
  app.get('/silent', { config: { db: { echo: false } } }, async request => await request.db.count(Item).then(String))
  await app.inject('/value')
  await assertClean()
  t.match(echoed(logs), [{ level: 40, parameters: ['value'] }])
  await app.inject('/silent')
  await assertClean()
  t.same(echoed(logs), [])
  await app.db.run(async session => await session.count(Item), { echo: { level: 'debug' } })
  t.same(echoed(logs), [], 'the log takes no such lines')
  await using scope = app.db.open({ echo: { level: 'error', parameters: true } })
  await scope.session.count(Item, { label: 'value' })
  t.match(echoed(logs).filter(({ msg }) => msg.startsWith('select')), [{ level: 50, parameters: ['value'] }])
})

onEachDatabase('only those that take long', { kinds: servers, plugin: { echo: { slowerThan: 20 } } }, async (t, { app, logs, dialect }) => {
  await app.db.run(async session => {
    await session.execute(`select ${dialect.sleep(0.05)}`)
  })
  t.match(short(logs), ['select'])
  await app.db.run(async session => { await session.execute(`select ${dialect.sleep(0.05)}`) }, { echo: { slowerThan: 60_000 } })
  t.same(short(logs), [])
})

onEachDatabase('of one of several databases', {}, async (t, { app, logs, addDatabase }) => {
  await addDatabase('other', { echo: true })
  await app.ready()
  await app.db.run(async session => {
    await session.count(Item)
    await db.use('other').session.count(Item)
  })
  t.match(echoed(logs), [{ database: 'other' }])
  await app.db.run(async session => {
    await session.count(Item)
    await db.use('other').session.count(Item)
  }, { echo: { level: 'warn' } })
  t.match(echoed(logs), [{ database: 'default', level: 40 }, { database: 'other', level: 40 }])
})
