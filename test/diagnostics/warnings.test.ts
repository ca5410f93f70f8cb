/** `warnings`: what a developer is told that works, and will not in production. */
import { MikroORM } from '@mikro-orm/sqlite'
import Fastify, { type FastifyRequest } from 'fastify'
import { tracingChannel } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import scopedDb, { type WarningOptions } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type LogLine, type Stage } from '../support/on-each-database.ts'

const HERE = /test\/diagnostics\/warnings\.test\.ts:\d+:\d+$/
const REPEATED = /^the same SELECT was sent again and again/

/** Nothing that a slow machine could add. */
const untimed = { slowStatement: false, longTransaction: false } as const

const warning = (warnings: boolean | WarningOptions) => ({ plugin: { commitOnTeardown: true, warnings } })

const warned = (logs: LogLine[]) => logs.splice(0).filter(({ level }) => level === 40)

function addLoop ({ app }: Pick<Stage, 'app'>, url = '/loop/:times', config = {}): void {
  app.get(url, { config }, async request => {
    for (let n = 0; n < Number((request.params as { times: string }).times); n++) await request.db.count(Item, { label: { $in: ['a', 'b', 'c'].slice(n % 3) } })
    return 'done'
  })
}

onEachDatabase('the same SELECT, values aside, more than ten times: once for each text and route, with count, place and the request', warning({ ...untimed }), async (t, stage) => {
  const { app, logs, assertClean } = stage
  addLoop(stage)
  addLoop(stage, '/other/:times')
  await app.inject('/loop/10')
  await assertClean()
  t.same(warned(logs), [])
  await app.inject('/loop/12')
  await assertClean()
  const [line, ...others] = warned(logs)
  t.match(line, { database: 'default', route: '/loop/:times', reqId: /./, count: 12, place: HERE, statement: /^select count.* in \(\?\)$/, msg: REPEATED })
  t.same(others, [])
  await app.inject('/loop/12')
  await assertClean()
  t.same(warned(logs), [], 'it was told')
  await app.inject('/other/12')
  await assertClean()
  t.match(warned(logs), [{ route: '/other/:times' }])
})

onEachDatabase('values in the text count as values, and only SELECTs count', warning({ ...untimed, repeatedStatements: 2 }), async (t, { app, logs, assertClean }) => {
  await app.db.run(async session => {
    for (const n of [1, 2, 3]) {
      await session.execute(`select ${n} as n, 'it''s ${n}' as s`)
      await session.execute(`update item set amount = ${n} where amount = -1`)
    }
  })
  await assertClean()
  t.match(warned(logs), [{ route: undefined, count: 3, statement: 'select ? as n, ? as s', msg: REPEATED }])
  await app.db.run(async session => {
    for (const n of [1, 2]) await session.execute(`select ${n} as m`)
    await app.db.remove()
    for (const n of [1, 2]) await app.db.session.execute(`select ${n} as m`)
  })
  await assertClean()
  t.match(warned(logs), [{ count: 4, statement: 'select ? as m' }], 'a session that was removed counts')
})

onEachDatabase('what is loaded one by one in a loop has its place there; populated, it is no loop', warning({ ...untimed, repeatedStatements: 2 }), async (t, { app, logs, assertClean }) => {
  await app.db.run(async session => {
    for (const label of ['a', 'b', 'c']) session.create(Part, { name: 'part', item: session.create(Item, { label, parts: [] }) })
  })
  await assertClean()
  app.get('/lazy', async request => {
    for (const item of await request.db.findAll(Item)) await item.parts.loadItems()
  })
  app.get('/populated', async request => {
    await request.db.findAll(Item, { populate: ['parts'], strategy: 'select-in' })
  })
  t.same(warned(logs), [])
  await app.inject('/populated')
  await assertClean()
  t.same(warned(logs), [])
  await app.inject('/lazy')
  await assertClean()
  t.match(warned(logs), [{ count: 3, place: HERE, statement: /^select .* from .part./ }])
})

onEachDatabase('onRepeated: throw fails the statement that is one too many, and so the request or db.run()', warning({ ...untimed, onRepeated: 'throw', repeatedStatements: 3 }), async (t, stage) => {
  const { app, labels } = stage
  const code = 'FST_SCOPED_DB_REPEATED_STATEMENT'
  addLoop(stage)
  app.post('/loop', async request => {
    await request.db.insert(Item, { label: 'not there', amount: 0 })
    for (let n = 0; n < 4; n++) await request.db.count(Item, { amount: n })
  })
  app.get('/text', async request => { for (let n = 0; n < 4; n++) await request.db.execute(`select ${n} as n`) })
  app.get('/caught', async request => {
    const seen = []
    const select = request.db.getKysely<{ item: { id: number } }>().selectFrom('item').select('id')
    for (let n = 0; n < 5; n++) seen.push(await select.execute().catch((error: { code: string }) => error.code))
    return seen
  })
  app.get('/rejected', async request => {
    const kysely = request.db.getKysely<{ item: { id: number } }>()
    const compiled = kysely.selectFrom('item').select('id').compile()
    const seen = []
    for (let n = 0; n < 4; n++) seen.push(await kysely.executeQuery(compiled).then(() => 'rows', ({ code }: { code: string }) => code))
    return seen
  })
  t.equal((await app.inject('/loop/3')).statusCode, 200)
  for (let n = 0; n < 2; n++) {
    const reply = await app.inject('/loop/4')
    t.match(reply.json(), { statusCode: 500, code, message: /for the 4th time .* from .*warnings\.test\.ts:\d+:\d+ .*: select count/ }, 'each time')
  }
  t.equal((await app.inject({ method: 'POST', url: '/loop' })).statusCode, 500)
  t.same(await labels(), [])
  t.match((await app.inject('/text')).json().message, /: select \? as n$/)
  t.same((await app.inject('/rejected')).json(), ['rows', 'rows', 'rows', code])
  t.same((await app.inject('/caught')).json(), [[], [], [], code, code], 'as any error of a statement')
  await t.rejects(app.db.run(async session => { for (let n = 0; n < 4; n++) for await (const item of session.stream(Item)) t.fail(String(item)) }), { code })
})

onEachDatabase('slow statements, on one route and not on another', { kinds: servers, ...warning({ slowStatement: 20 }) }, async (t, { app, logs, dialect, assertClean }) => {
  const slow = async (request: FastifyRequest) => {
    const [name = ''] = dialect.sleep(0).split('(')
    await request.db.getKysely().selectNoFrom(({ fn, val }) => fn(name, [val(0.05)]).as('slept')).execute()
  }
  app.get('/slow', slow)
  app.get('/told', { config: { db: { recordStatements: true } } }, slow)
  app.get('/silent', { config: { db: { warnings: false } } }, slow)
  const warnedOf = async (url: string) => {
    await app.inject(url)
    await assertClean()
    return warned(logs).filter(({ statement }) => /sleep/.test(String(statement)))
  }
  t.match(await warnedOf('/slow'), [{ route: '/slow', reqId: /./, milliseconds: Number, place: undefined, statement: /^select \w+\(\?\) as .slept.$/, msg: 'a statement was slow' }])
  t.same(await warnedOf('/slow'), [])
  t.match(await warnedOf('/told'), [{ place: HERE }], 'the place is there where it is recorded')
  t.same(await warnedOf('/silent'), [])
})

onEachDatabase('a transaction that is open for long', warning({ longTransaction: 20 }), async (t, { app, logs, assertClean }) => {
  app.post('/long', async request => {
    await request.db.insert(Item, { label: 'a', amount: 0 })
    await sleep(40)
    return await request.db.findAll(Item)
  })
  await app.inject({ method: 'POST', url: '/long' })
  await assertClean()
  t.match(warned(logs).filter(({ outcome }) => outcome !== undefined), [{ route: '/long', reqId: /./, outcome: 'commit', milliseconds: Number, msg: /^a transaction was open for long/ }])
})

onEachDatabase('a connection that was waited for longer than half of acquireTimeout', { kinds: servers, orm: { pool: { min: 0, max: 1 } }, plugin: { warnings: { ...untimed }, acquireTimeout: 400 } }, async (t, { app, logs, assertClean }) => {
  const waiting = async (milliseconds: number) => {
    await using scope = app.db.open()
    await scope.session.begin()
    const late = app.db.run(async session => { await session.count(Item) }).catch((error: unknown) => error)
    await sleep(milliseconds)
    await scope.rollback()
    return await late
  }
  t.equal(await waiting(20), undefined)
  t.same(warned(logs), [])
  t.equal(await waiting(300), undefined)
  t.match(warned(logs), [{ acquireTimeout: 400, milliseconds: Number, msg: /^a connection was waited for/ }])
  await assertClean()
})

onEachDatabase('a job of many different SELECTs has a limit to what is remembered', { ...warning({ ...untimed, repeatedStatements: 1 }), kinds: ['sqlite'] }, async (t, { app, logs }) => {
  await app.db.run(async session => {
    for (let n = 0; n < 2; n++) for (let text = 0; text <= 1_000; text++) await session.execute(`select 1 as a${text}`)
  })
  t.equal(warned(logs).length, 1_000)
  await app.db.run(async session => { for (let n = 0; n < 2; n++) for (const text of ['new', 'a0', 'a999']) await session.execute(`select 1 as ${text}`) })
  t.match(warned(logs), [{ statement: 'select ? as new' }, { statement: 'select ? as a0' }], 'the oldest was forgotten')
})

void t.test('by default they are on, but not in production', async t => {
  const { NODE_ENV = '' } = process.env
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [Item] })
  t.teardown(async () => {
    process.env['NODE_ENV'] = NODE_ENV
    await orm.close()
  })
  const isWatched = async (environment: string, options = {}) => {
    process.env['NODE_ENV'] = environment
    const app = Fastify()
    await app.register(scopedDb, { orm, ...options })
    const isWatched = await app.db.run(async () => tracingChannel('fastify-scoped-db.statement').hasSubscribers)
    await app.close()
    return isWatched
  }
  t.equal(await isWatched('development'), true)
  t.equal(await isWatched('production'), false)
  t.equal(await isWatched('production', { warnings: {} }), true)
})
