/** What is left of a session once its reply is sent. */
import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const manual = { plugin: { commitOnTeardown: false } }

onEachDatabase('work left running after the reply writes nothing', automatic, async (t, { app, labels, assertClean }) => {
  const answered = new Gate()
  const finished = new Gate<unknown>()
  app.post('/', async request => {
    const { db: session } = request
    void (async () => {
      await answered.opened
      session.create(Item, { label: 'left running' })
      await session.flush()
    })().catch((error: unknown) => finished.open(error))
    return request.db.create(Item, { label: 'answered' })
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await assertClean()
  answered.open()
  t.match(await finished.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /this scope is closed\. Most likely something was not awaited/ })
  t.same(await labels(), ['answered'])
})

onEachDatabase('of what a handler returned nothing is kept once it is sent', automatic, async (t, { app, assertClean }) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const requests: unknown[] = []
  let returned: WeakRef<object> | undefined
  app.post('/', async request => {
    requests.push(request)
    const item = request.db.create(Item, { label: 'returned' })
    returned = new WeakRef(item)
    return item
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await assertClean()
  for (let turn = 0; turn < 3; turn++) {
    await new Promise(setImmediate)
    collect()
  }
  t.equal(requests.length, 1, 'the request is still there')
  t.equal(returned?.deref(), undefined)
})

for (const [mode, options] of Object.entries({ automatic, manual })) {
  onEachDatabase(`a session that is first asked for after the reply (${mode})`, options, async (t, { app, labels }) => {
    const attempts = new Gate<unknown>()
    app.post('/', async request => {
      setTimeout(() => {
        Promise.resolve().then(() => request.db.insert(Item, { label: 'late', amount: 0 })).then(attempts.open.bind(attempts), (error: unknown) => attempts.open(error))
      }, 50)
      return 'ok'
    })
    t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
    t.match(await attempts.opened, { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
    t.same(await labels(), [])
  })
}

onEachDatabase('the session of a finished request never throws into a timer where its methods give promises', automatic, async (t, { app, labels, assertClean }) => {
  const answered = new Gate()
  const attempts = new Gate<unknown[]>()
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'answered', amount: 0 })
    t.match(inspect(request.db), /EntityManager/)
    t.match([inspect(db.session), String(db.session), JSON.stringify(db.session)], [/EntityManager/, /object/, '{}'])
    setTimeout(() => {
      void answered.opened.then(async () => {
        const started: Promise<unknown>[] = [request.db, db.session].flatMap(session => [session.insert(Item, { label: 'late', amount: 0 }), session.flush(), session.count(Item), session.execute('select 1'), session.stream(Item, {}).next()])
        t.throws(() => request.db.create(Item, { label: 'late' }), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
        t.match([inspect(request.db), String(request.db), JSON.stringify(request.db)], [/EntityManager: .*FST_SCOPED_DB_SCOPE_CLOSED/, '[object Object]', '{}'])
        attempts.open(await Promise.all(started.map(async one => await one.catch(({ code }: { code: string }) => code))))
      })
    }, 10)
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await assertClean()
  answered.open()
  t.same(await attempts.opened, Array(10).fill('FST_SCOPED_DB_SCOPE_CLOSED'))
  t.same(await labels(), ['answered'])
})

onEachDatabase('what was kept of a session cannot begin a transaction after its end', manual, async (t, { app, labels }) => {
  const answered = new Gate()
  const attempts = new Gate<unknown[]>()
  app.post('/', async request => {
    const kysely = request.db.getKysely()
    const { db } = request
    const connection = db.getConnection()
    void answered.opened.then(async () => await Promise.all([
      (async () => await kysely.transaction().execute(async () => {}))(),
      (async () => await kysely.startTransaction().execute())(),
      connection.transactional(async () => {}),
      connection.begin(),
      (async () => db.getConnection())()
    ].map(attempt => attempt.then(() => 'begun', (error: Error) => error.message.split('.')[0])))).then(codes => attempts.open(codes))
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  answered.open()
  t.same(await attempts.opened, Array(5).fill('fastify-scoped-db: this scope is closed'))
  t.same(await labels(), [])
})

onEachDatabase('db.remove() does not hold up the end of a request', automatic, async (t, { app }) => {
  app.post('/', async request => {
    await request.db.count(Item)
    await db.remove()
    return 'ok'
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  await new Promise(resolve => { setImmediate(resolve) })
  t.equal(app.db.openScopes, 0)
})

onEachDatabase('what comes after the commit of its scope is lost, and the log says so', automatic, async (t, { app, labels, logs }) => {
  app.post('/streams', async (request, reply) => {
    async function * body () {
      yield 'sa'
      request.db.create(Item, { label: 'late' })
      yield 'ved'
    }
    return await reply.type('text/plain').send(Readable.from(body()))
  })
  app.post('/responds', { onResponse: async request => { (await request.db.findOneOrFail(Item, { label: 'kept' })).amount = 7 } }, async request => {
    request.db.create(Item, { label: 'kept' })
    await request.db.flush()
    return 'ok'
  })
  app.post('/conflict', { onResponse: async request => { request.db.create(Item, { label: 'late' }) } }, async (request, reply) => {
    request.db.create(Item, { label: 'never' })
    return await reply.code(409).send()
  })
  const lost = () => logs.filter(({ msg }) => msg === 'changes that came after the commit of their scope were lost').map(({ level, unflushed }) => ({ level, unflushed }))
  await t.rejects(app.inject({ method: 'POST', url: '/streams' }), 'it is broken off')
  for (const url of ['/responds', '/conflict']) await app.inject({ method: 'POST', url })
  while (app.db.openScopes > 0) await new Promise(setImmediate)
  t.same(await labels(), ['kept'])
  t.same(lost(), [{ level: 50, unflushed: { Item: 1 } }, { level: 50, unflushed: { Item: 1 } }], 'not of what was rolled back anyway')
})
