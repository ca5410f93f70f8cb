/** `recordStatements`: what a scope has sent, and from where. */
import { db, type RecordedStatement } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const recording = { plugin: { commitOnTeardown: true, recordStatements: true } }
const HERE = /test\/diagnostics\/recorded-statements\.test\.ts:\d+:\d+$/

/** Without what begins and ends transactions, and what MikroORM asks a server once. */
const others = (statements: RecordedStatement[]) => statements.filter(({ kind, sql }) => kind !== 'control' && !sql.startsWith('show'))

onEachDatabase('db.statements is what was sent, with parameters, rows, durations and places', recording, async (t, { app, assertClean }) => {
  const recorded: RecordedStatement[][] = []
  app.addHook('onResponse', async () => { recorded.push(db.statements) })
  app.post('/items', async request => {
    t.same(db.statements, [])
    await request.db.count(Item, { label: 'a' })
    await db.session.getKysely<{ item: { label: string, amount: number } }>().insertInto('item').values({ label: 'a', amount: 0 }).execute()
    for await (const item of request.db.stream(Item, {})) t.match(item, { label: 'a' })
    const before = db.statements
    t.match(others(before), [
      { sql: /^select/, parameters: ['a'], kind: 'read', inTransaction: true, rows: 1, duration: Number, place: HERE },
      { sql: /^insert/, parameters: ['a', 0], kind: 'write', place: HERE },
      { sql: /^select/, rows: 1, place: HERE }
    ])
    t.equal(new Set(others(before).map(({ place }) => place)).size, 3, 'each has its own line')
    return request.db.create(Item, { label: 'b' })
  })
  t.equal((await app.inject({ method: 'POST', url: '/items' })).statusCode, 200)
  await assertClean()
  const [statements = []] = recorded
  t.match(others(statements), [{}, {}, {}, { sql: /^insert/, place: undefined }], 'what the end of the request has flushed has no place')
  t.match(statements.at(-1), { sql: 'commit', kind: 'control', place: undefined })
})

onEachDatabase('what fails is there, and what was sent by a session that was removed', { plugin: { recordStatements: true } }, async (t, { app }) => {
  await app.db.run(async session => {
    await t.rejects(session.execute('update nowhere set amount = 7'))
    await app.db.remove()
    await app.db.session.count(Item)
    t.match(others(db.statements), [{ error: /nowhere/, place: HERE }, { rows: 1 }])
  })
})

onEachDatabase('the last thousand are kept', { plugin: { recordStatements: true }, kinds: ['sqlite'] }, async (t, { app }) => {
  await app.db.run(async session => {
    for (let n = 0; n <= 1_000; n++) await session.execute('select ? as n', [n])
    t.equal(db.statements.length, 1_000)
    t.same([db.statements[0]?.parameters, db.statements.at(-1)?.parameters], [[1], [1_000]])
  })
})

onEachDatabase('of one route, of one run, of one of several databases; otherwise there are none', {}, async (t, { app, addDatabase }) => {
  await addDatabase('other', { recordStatements: true })
  app.get('/recorded', { config: { db: { recordStatements: true } } }, async request => { await request.db.count(Item); return others(db.statements).length })
  app.get('/not', async request => { await request.db.count(Item); return others(db.statements).length })
  t.equal((await app.inject('/recorded')).body, '1')
  t.equal((await app.inject('/not')).body, '0')
  await app.db.run(async session => {
    await session.count(Item)
    await db.use('other').session.count(Item)
    t.same([db.statements, db.use('other').statements].map(statements => others(statements).length), [0, 1])
  })
  await app.db.run(async session => { await session.count(Item); t.equal(others(db.statements).length, 1) }, { recordStatements: true, echo: true })
  t.throws(() => db.statements, { code: 'FST_SCOPED_DB_NO_SCOPE' })
})
