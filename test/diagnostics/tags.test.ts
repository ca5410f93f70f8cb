/** `tagStatements`: a comment that tells the database which request a statement is for. */
import fc from 'fast-check'
import { sql } from 'kysely'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { preparedTexts } from '../support/prepared-texts.ts'
import { eventsOf } from '../support/traces.ts'

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const HAS_STREAMS = process.env['TEST_DATABASE'] !== 'pglite'

const automatic = { plugin: { commitOnTeardown: true, tagStatements: true } }

/** A statement whose result is its own text, as the server has it. */
const OWN_TEXT = {
  mysql: 'select info as text from information_schema.processlist where id = connection_id()',
  postgresql: 'select query as text from pg_stat_activity where pid = pg_backend_pid()'
}

/** SQLite has no such statement: there the driver is asked. */
async function ownText ({ kind, orm }: Stage): Promise<{ text: string, sent (rows: unknown): string }> {
  if (kind !== 'sqlite') return { text: OWN_TEXT[kind], sent: rows => (rows as { text: string }[])[0]?.text ?? '' }
  const texts = await preparedTexts(orm)
  return { text: "select 'its own' as text", sent: () => texts.splice(0).findLast(sql => sql.includes('its own')) ?? '' }
}

onEachDatabase('MikroORM\'s, Kysely\'s and streamed statements, with route and method', automatic, async (t, stage) => {
  const { app } = stage
  const { text, sent } = await ownText(stage)
  app.get('/texts/:how', async request => {
    const { how } = request.params as { how: string }
    const kysely = request.db.getKysely()
    if (how === 'mikro-orm') return await request.db.execute(text)
    if (how === 'kysely') return (await sql.raw(text).execute(kysely)).rows
    const rows = []
    for await (const row of kysely.selectFrom(sql<{ text: string }>`(${sql.raw(text)})`.as('x')).selectAll().stream()) rows.push(row)
    return rows
  })
  for (const how of ['mikro-orm', 'kysely', ...HAS_STREAMS ? ['stream'] : []]) {
    const reply = await app.inject(`/texts/${how}?q=1`)
    t.equal(reply.statusCode, 200, reply.body)
    t.match(sent(reply.json()), / \/\*method='GET',route='%2Ftexts%2F%3Ahow'\*\/$/, how)
  }
})

onEachDatabase('it plays no part in telling reads from writes, and is not in what is told', automatic, async (t, { app, labels, assertClean }) => {
  const statements = eventsOf(t, 'statement')
  app.get('/read', async request => await request.db.count(Item).then(String))
  app.post('/write', async request => {
    await request.db.transactional(async () => { request.db.create(Item, { label: 'a' }) })
    await t.rejects(request.db.transactional(async session => { await session.insert(Item, { label: 'b', amount: 1 }); throw new Error('undone') }))
    if (HAS_STREAMS) for await (const item of request.db.stream(Item)) t.equal(item.label, 'a')
    await request.db.nativeUpdate(Item, { label: 'a' }, { amount: 7 })
    return await request.db.findOneOrFail(Item, { label: 'a' }, { refresh: true })
  })
  await app.inject('/read')
  await assertClean()
  t.match(statements.ended().filter(({ kind }) => kind !== 'control'), [{ kind: 'read', inTransaction: false, sql: /^select count\(\*\).*[^/]$/ }])
  t.match((await app.inject({ method: 'POST', url: '/write' })).json(), { label: 'a', amount: 7 })
  await assertClean()
  t.same(statements.ended().filter(({ sql }) => sql.includes('/*')), [])
  t.same(await labels(), ['a'])
})

onEachDatabase('id and traceparent where they are asked for; of one route; in db.run() there is nothing to say', { plugin: {} }, async (t, stage) => {
  const { app } = stage
  const { text, sent } = await ownText(stage)
  const tagOf = async (run: () => Promise<unknown>) => /\/\*.*\*\//.exec(sent(await run()))?.[0]
  const add = (url: string, tagStatements: object | boolean) => {
    app.get(url, { config: { db: { tagStatements } } }, async request => await request.db.execute(text))
    return async (headers = {}) => await tagOf(async () => (await app.inject({ url, headers })).json())
  }
  const [all, only, none] = [add('/all', { requestId: true, traceparent: true }), add('/only', { traceparent: true, route: false, method: false }), add('/none', false)]
  t.equal(await all({ traceparent: TRACEPARENT }), `/*method='GET',request_id='req-1',route='%2Fall',traceparent='${TRACEPARENT}'*/`)
  t.equal(await all({ traceparent: "00-'*/ drop table item; /*" }), "/*method='GET',request_id='req-2',route='%2Fall'*/", 'one that is none')
  t.equal(await only({ traceparent: TRACEPARENT }), `/*traceparent='${TRACEPARENT}'*/`)
  t.equal(await only(), undefined)
  t.equal(await none(), undefined)
  t.equal(await tagOf(async () => await db.run(async session => await session.execute(text), { tagStatements: true })), undefined)
})

onEachDatabase('a value that looks like a comment hides no statement', automatic, async (t, stage) => {
  const { app, kind } = stage
  const { text, sent } = await ownText(stage)
  app.get('/', async request => await request.db.execute(`${text} ${kind === 'sqlite' ? 'where' : 'and'} ? <> ''`, [(request.query as { value: string }).value]))
  for (const value of ['-- mine', '/* mine', "it's */"]) {
    t.match(sent((await app.inject({ url: '/', query: { value } })).json()), /mine.* \/\*method='GET',route='%2F'\*\/$|it.*route='%2F'\*\/$/, value)
  }
})

let id = ''
onEachDatabase('whatever an id or a value holds, the statement stays what it is', { fastify: { genReqId: () => id }, plugin: { commitOnTeardown: true, tagStatements: { requestId: true } } }, async (t, { app, database, labels }) => {
  app.post('/', async request => {
    const { value } = request.body as { value: string }
    const kysely = request.db.getKysely<{ item: { label: string, amount: number } }>()
    await request.db.insert(Item, { label: 'label', amount: 1 })
    await kysely.updateTable('item').set({ label: value }).where('label', '=', 'label').execute()
    const [row] = await request.db.execute<{ label: string }[]>("select label as label, '; -- */' as other from item where label = ?", [value])
    await request.db.nativeDelete(Item, { label: value })
    return { label: row?.label }
  })
  const strange = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('*/', '*/; drop table item; --', "'*/ or 1 = 1 /*", "\\'", '?', '$1', ':a', '/*!50000 x */', '\0', '\ud800'))
  // PostgreSQL's text has no NUL, and no column is longer than that.
  const value = fc.string().map(text => text.replaceAll('\0', '').slice(0, 100))
  await fc.assert(fc.asyncProperty(strange, value, async (strangeId, value) => {
    id = strangeId
    const reply = await app.inject({ method: 'POST', url: '/', payload: { value } })
    t.equal(reply.statusCode, 200, reply.body)
    t.same(reply.json(), { label: value })
  }), { numRuns: 60 })
  t.same(await labels(), [])
  t.equal(await database.witness.em.fork().count(Item), 0)
})
