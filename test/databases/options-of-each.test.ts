/** Options for all databases, and for one of them. */
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { addSecond, session } from '../support/second-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('options for all databases, and for one of them', { plugin: { commitOnTeardown: true } }, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage, { commitOnTeardown: true, readOnly: true })
  const write = async () => {
    db.session.create(Item, { label: 'first' })
    await db.session.flush()
    session.create(Item, { label: 'second' })
    return 'text'
  }
  app.post('/', write)
  app.post('/both', { config: { db: { readOnly: false } } }, write)
  app.post('/one', { config: { db: { use: { analytics: { readOnly: false, commitOnTeardown: false } } } } }, write)
  const codes = []
  for (const url of ['/', '/both', '/one']) codes.push((await app.inject({ method: 'POST', url })).statusCode)
  t.same(codes, [500, 200, 500], 'the last: /both has left a row')
  t.same([await labels(), await second.labels()], [['first'], ['second']])
  await t.rejects(db.run(write, { use: { default: { readOnly: true }, analytics: { readOnly: false } } }), { code: 'FST_SCOPED_DB_READ_ONLY' })
})

onEachDatabase('all databases must say commit', { plugin: { commitOnTeardown: () => true } }, async (t, stage) => {
  const { app, labels } = stage
  await addSecond(stage, { commitOnTeardown: (_request, reply) => reply.statusCode === 200 })
  app.post<{ Params: { status: string } }>('/:status', async (request, reply) => {
    request.db.create(Item, { label: request.params.status })
    return await reply.code(Number(request.params.status)).send('text')
  })
  for (const status of [200, 201]) await app.inject({ method: 'POST', url: `/${status}` })
  t.same(await labels(), ['200'])
})

const shared = { asked: 0, rule: () => ++shared.asked > 0 }

onEachDatabase('a rule that databases share is asked once', { plugin: { commitOnTeardown: shared.rule } }, async (t, stage) => {
  const { app, labels } = stage
  const second = await addSecond(stage, { commitOnTeardown: shared.rule })
  app.post('/', async request => {
    request.db.create(Item, { label: 'first' })
    session.create(Item, { label: 'second' })
    return 'text'
  })
  shared.asked = 0
  await app.inject({ method: 'POST', url: '/' })
  t.equal(shared.asked, 1)
  t.same([await labels(), await second.labels()], [['first'], ['second']])
})

onEachDatabase('cancelOnAbort of one database ends the scope', { plugin: {} }, async (t, stage) => {
  const second = await addSecond(stage, { commitOnTeardown: true, cancelOnAbort: true })
  const closed = Promise.withResolvers<unknown>()
  stage.app.post('/', async request => {
    session.create(Item, { label: 'never' })
    await session.flush()
    request.raw.socket.destroy()
    while (stage.app.db.openScopes > 0) await new Promise(setImmediate)
    closed.resolve(t.throws(() => session.id, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }))
  })
  const { port } = await stage.listen()
  await t.rejects(fetch(`http://127.0.0.1:${port}/`, { method: 'POST' }))
  await closed.promise
  t.same(await second.labels(), [])
})

onEachDatabase('wrong options for one database', automatic, async (t, stage) => {
  const { app } = stage
  await addSecond(stage, { commitOnTeardown: false })
  const add = (db: unknown) => () => app.get('/wrong', { config: { db: db as never } }, async () => 'ok')
  for (const given of [add, (options: unknown) => () => db.run(() => {}, options as never)]) {
    const refused = async (options: unknown, expected: { code: string, message: RegExp }) => await t.rejects(async () => { await given(options)() }, expected)
    await refused({ use: { analytic: {} } }, { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"use\.analytic".* only default, analytics/ })
    await refused({ use: { analytics: { readOnly: 'yes' } } }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"use\.analytics\.readOnly".* takes true or false/ })
    await refused({ use: { analytics: { use: {} } } }, { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"use\.analytics\.use"/ })
    await refused({ use: [] }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"use".* takes options by the name of a database/ })
    await refused({ use: { analytics: { begin: 'write' } } }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"use\.analytics\.begin".* takes a commitOnTeardown/ })
    await refused({ commitOnTeardown: false, begin: 'write' }, { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"begin"/ })
  }
  await t.resolves(db.run(() => {}, { begin: 'write' }), 'it is of use to one of the two')
})
