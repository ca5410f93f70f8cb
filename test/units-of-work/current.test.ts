/** What `db.current` says, wherever it is asked. */
import Fastify from 'fastify'
import t from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

void t.test('undefined where nothing is registered', async t => {
  t.equal(db.current, undefined)
  t.equal(db.use('analytics').current, undefined)
})

onEachDatabase('the request, or what else the scope is for', automatic, async (t, { app }) => {
  app.get('/', async request => {
    t.same(db.current, { kind: 'request', request })
    t.equal(db.current?.request, request)
    t.equal(db.use('nowhere').current?.request, request)
    t.same(await db.run(() => db.current), { kind: 'db.run', request: undefined })
    await using scope = db.open()
    t.equal(db.current?.request, request, 'the scope of db.open() is not current')
    t.equal(db.hasSession(), false)
    return String(scope.session.id !== request.db.id)
  })
  app.get('/without', { config: { db: false } }, async () => ({ current: db.current ?? 'none' }))
  t.equal((await app.inject('/')).body, 'true')
  t.same((await app.inject('/without')).json(), { current: 'none' })
  t.equal(db.current, undefined)
  t.equal(app.db.current, undefined)
})

onEachDatabase('costs no scope and no session', automatic, async (t, { app }) => {
  app.get('/', async () => ({ kind: db.current?.kind, openScopes: db.openScopes }))
  t.same((await app.inject('/')).json(), { kind: 'request', openScopes: 0 })
})

onEachDatabase('what is given is a copy', automatic, async (t, { app }) => {
  app.get('/', async request => {
    await request.db.getConnection().execute('select 1')
    Object.assign(db.current ?? {}, { kind: 'changed', request: undefined })
    return { kind: db.current?.kind, same: db.current?.request === request }
  })
  t.same((await app.inject('/')).json(), { kind: 'request', same: true })
  await db.run(() => {
    Object.assign(db.current ?? {}, { kind: 'changed' })
    t.equal(db.current?.kind, 'db.run')
  })
})

onEachDatabase('of one application it is about its own scopes', automatic, async (t, { app, database }) => {
  const other = Fastify()
  t.teardown(async () => await other.close())
  await other.register(scopedDb, { orm: database.options })
  app.get('/', async request => {
    t.equal(app.db.current?.request, request)
    t.equal(other.db.current, undefined)
    return { kind: db.current?.kind }
  })
  t.same((await app.inject('/')).json(), { kind: 'request' })
  t.equal(db.current, undefined, 'two applications and no scope are no error')
})

onEachDatabase('work that outlives its request still has it; work after the outcome has none', automatic, async (t, { app }) => {
  const late = Promise.withResolvers<void>()
  const seen: unknown[] = []
  let work: Promise<void> | undefined
  app.get('/', async request => {
    db.afterCommit(() => seen.push(db.current))
    work = late.promise.then(() => { seen.push(db.current?.request === request) })
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
  await app.close()
  t.same(seen, [undefined])
  late.resolve()
  await work
  t.same(seen, [undefined, true])
})
