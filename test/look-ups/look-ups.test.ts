import { helper, type EntityName } from '@mikro-orm/core'
import fc from 'fast-check'
import type { Test } from 'tap'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { KEYED, useOwnTypes } from '../support/keyed-entities.ts'
import { onEachDatabase, type Stage, type StageOptions } from '../support/on-each-database.ts'

const logged: string[] = []

/** What was sent to the database while `work` ran. */
async function statementsOf (work: () => Promise<unknown>): Promise<string[]> {
  logged.length = 0
  await work()
  return logged.filter(line => /\b(?:select|insert|update|delete)\b/.test(line))
}

const watched: StageOptions = { orm: { debug: ['query', 'query-params'], colors: false, logger: line => { logged.push(line) } } }
const keyed: StageOptions = { orm: { ...watched.orm, entities: Object.values(KEYED), discovery: { onMetadata: useOwnTypes } } }

async function addItems (stage: Stage, ...labels: string[]): Promise<void> {
  await stage.app.db.run(async session => await session.insertMany(Item, labels.map((label, index) => ({ id: index + 1, label, amount: labels.length - index }))))
}

/** Gives the key that was found, in JSON, or the 404. */
async function look (entity: EntityName, id: unknown): Promise<unknown> {
  return await db.run(async () => {
    try {
      const found = await db.getOr404<object>(entity, id)
      return JSON.parse(JSON.stringify(helper(found).getPrimaryKey(), (_, value: unknown) => typeof value === 'bigint' ? String(value) : value)) as unknown
    } catch (error) {
      const { statusCode, code } = error as { statusCode?: number, code?: string }
      if (statusCode !== 404 || code !== 'FST_SCOPED_DB_NOT_FOUND') throw error
      return 404
    }
  })
}

onEachDatabase('db.getOr404() gives the entity, or a 404 that names it', watched, async (t, stage) => {
  await addItems(stage, 'a', 'b')
  stage.app.get<{ Params: { id: string } }>('/items/:id', async request => await db.getOr404(Item, request.params.id))
  stage.app.get('/own', async () => await db.getOr404(Item, 99, { description: 'That is 100 % gone' }))
  t.same((await stage.app.inject('/items/2')).json(), { id: 2, label: 'b', amount: 1 })
  for (const id of ['3', 'abc', '2x', '1.5', '99999999999999999999', '%00']) {
    const reply = await stage.app.inject(`/items/${id}`)
    t.same(reply.json(), { statusCode: 404, code: 'FST_SCOPED_DB_NOT_FOUND', error: 'Not Found', message: 'Item not found' }, id)
  }
  t.match((await stage.app.inject('/own')).json(), { statusCode: 404, message: 'That is 100 % gone' })
  t.same(stage.logs.filter(({ level }) => level > 30), [], 'an expected 404 is no error of the server')
})

onEachDatabase('db.getOr404() rolls back what came before it', { plugin: { commitOnTeardown: true } }, async (t, { app, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'gone', amount: 1 })
    return await db.getOr404(Item, 'x')
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 404)
  t.same(await labels(), [])
})

onEachDatabase('db.getOr404() takes the options of findOne()', watched, async (t, stage) => {
  await addItems(stage, 'a')
  await stage.app.db.run(async session => await session.insert(Part, { id: 1, item: 1, name: 'wheel' }))
  await db.run(async session => {
    const item = await db.getOr404(Item, 1, { populate: ['parts'] })
    t.same(item.parts.getItems().map(({ name }) => name), ['wheel'])
    t.same(await statementsOf(async () => t.equal(await db.getOr404(Item, 1), item)), [], 'found in the identity map')
    t.equal(await session.findOne(Item, 1), item, 'of the current session')
  })
})

onEachDatabase('a key that no row can have sends no statement', keyed, async (t, { orm, kind }) => {
  await createTables(orm)
  const { Tiny, Word, Seat } = KEYED
  // SQLite has one size of integers for all.
  const [large, small] = kind === 'mysql' ? ['256', -1] : ['9223372036854775808', -(2n ** 63n) - 1n]
  for (const [entity, id] of [[Tiny, 'abc'], [Tiny, large], [Tiny, small], [Word, 5], [Word, { $ne: null }], [Seat, [1]]] as [EntityName, unknown][]) {
    t.same(await statementsOf(async () => t.equal(await look(entity, id), 404)), [], String(id))
  }
  t.match(await statementsOf(async () => t.equal(await look(Tiny, '5'), 404)), { length: 1 })
})

const UUID = '5bd7d0f8-6e1b-4b8f-8f0e-1c1d4f0f9a10'
const NEVER = [null, undefined, {}, [], { $ne: null }, { id: 1 }, [[1]], '', ' ', Number.NaN, Infinity, new Date(Number.NaN), 'abc', true, Symbol('id'), '\0', '1 or 1=1', "' or ''='"]
const NO_INTEGER = ['1abc', '01', '+1', '-0x1', '1e0', '1.0', ' 1', '1 ', 1.5, '99999999999999999999', '9'.repeat(400), 2 ** 60, -(2n ** 70n), '-1']
const NO_DATE = ['2024-02-30', '2024-13-01', '24-01-01', '1', '0000-00-00', '+010000-01-01', '2024-01-01T99:00Z', '2024-01-01 00:00', 'Mon, 01 Jan 2024', 1704067200000]

/** By entity: the keys that exist, what finds each of them, and what must find nothing. */
const KEYS: Record<keyof typeof KEYED, { rows: object[], found: [id: unknown, key: unknown][], missing: unknown[] }> = {
  Tiny: { rows: [{ id: 0 }, { id: 1 }], found: [['1', 1], [1, 1], [1n, 1], [0, 0], ['0', 0]], missing: [...NO_INTEGER, '2', -0.5] },
  Long: { rows: [{ id: 0n }, { id: 1n }, { id: 2n ** 53n - 1n }], found: [['1', '1'], [1, '1'], [2n ** 53n - 1n, '9007199254740991'], ['9007199254740991', '9007199254740991']], missing: [...NO_INTEGER, '9007199254740992', 2n ** 64n] },
  LongText: { rows: [{ id: '0' }, { id: '1' }], found: [['1', '1'], [1n, '1']], missing: NO_INTEGER },
  LongNumber: { rows: [{ id: 0 }, { id: 1 }], found: [['1', 1], [1, 1]], missing: [...NO_INTEGER, '9007199254740993'] },
  Device: { rows: [{ id: UUID }], found: [[UUID, UUID]], missing: [UUID.slice(1), `${UUID}0`, UUID.replaceAll('-', ''), 5] },
  Word: { rows: [{ id: '0' }, { id: '5abc' }, { id: 'ünï' }], found: [['5abc', '5abc'], ['ünï', 'ünï']], missing: [5, 0, 0n, false, '5abc\0', 'x'.repeat(5000), '\ud800', '🦆'] },
  Colour: { rows: [{ id: 'red' }], found: [['red', 'red']], missing: ['green', 'blue', 1, 0] },
  Moment: { rows: [{ id: new Date('2024-01-31T12:00:00Z') }], found: [['2024-01-31T12:00:00Z', '2024-01-31T12:00:00.000Z'], [new Date('2024-01-31T12:00:00Z'), '2024-01-31T12:00:00.000Z'], ['2024-01-31T13:00+01:00', '2024-01-31T12:00:00.000Z']], missing: [...NO_DATE, new Date(8.64e15), new Date(0)] },
  Day: { rows: [{ id: '2024-01-31' }], found: [['2024-01-31', '2024-01-31']], missing: [...NO_DATE, '2024-01-31T00:00:00Z'] },
  Hour: { rows: [{ id: '12:00:00' }], found: [['12:00:00', '12:00:00']], missing: ['12', '12:00:99', 12] },
  Price: { rows: [{ id: '0.00' }, { id: '1.25' }], found: [['1.25', '1.25']], missing: ['1.25x', '1,25', '.', '-', '1e1', `1${'0'.repeat(100)}`] },
  Ratio: { rows: [{ id: 0 }, { id: 1.5 }], found: [['1.5', 1.5], [1.5, 1.5]], missing: ['1.5x', '01.5', '1e999', '0x0', 2] },
  Switch: { rows: [{ id: false }], found: [[false, false]], missing: ['false', 0, 'x'] },
  Hash: { rows: [{ id: Buffer.from('ab') }], found: [[Buffer.from('ab'), { type: 'Buffer', data: [97, 98] }]], missing: [Buffer.from('a'), { type: 'Buffer', data: [97, 98] }] },
  Cents: { rows: [{ id: 0 }, { id: 1.25 }], found: [['1.25', 1.25], [1.25, 1.25]], missing: ['1.25x', 1e21, 0.5] },
  Host: { rows: [{ id: '::' }, { id: '::1' }], found: [['::', '::'], ['::1', '::1']], missing: [0, 1, 1n, false, '::2', '1'] },
  Loose: { rows: [{ id: 'a' }], found: [['a', 'a']], missing: ['b', 'a\0', 5, 5n] },
  Coded: { rows: [{ id: 'c0' }, { id: 'c12' }], found: [['c12', 'c12']], missing: ['12', 12, 'c', 'c99999', 'c13'] },
  Seat: { rows: [{ row: 0, place: 'a' }, { row: 1, place: 'a' }], found: [[[1, 'a'], { row: 1, place: 'a' }], [['1', 'a'], { row: 1, place: 'a' }], [{ row: '1', place: 'a', more: 1 }, { row: 1, place: 'a' }]], missing: [1, '1', [1], ['a', 1], [1, 'a', 'a'], ['x', 'a'], { row: 1 }, { row: 1, place: null }, { row: { $ne: null }, place: 'a' }, [1, undefined]] },
  Ticket: { rows: [{ seat: [1, 'a'], day: '2024-01-31' }], found: [[[[1, 'a'], '2024-01-31'], { seat: { row: 1, place: 'a' }, day: '2024-01-31' }], [{ seat: { row: '1', place: 'a' }, day: '2024-01-31' }, { seat: { row: 1, place: 'a' }, day: '2024-01-31' }]], missing: [[1, 'a', '2024-01-31'], [[1], '2024-01-31'], [[1, 'a'], '2024-02-30']] },
  Holder: { rows: [{ seat: [1, 'a'], name: 'Ada' }], found: [[[1, 'a'], [1, 'a']]], missing: [[1], 1, [1, 'b'], [1, 2]] }
}

async function createTables (orm: Stage['orm']): Promise<void> {
  await orm.config.getExtension<{ create (): Promise<void> }>('@mikro-orm/schema-generator')?.create()
}

async function addRows (orm: Stage['orm']): Promise<void> {
  await createTables(orm)
  for (const [name, { rows }] of Object.entries(KEYS)) {
    for (const row of rows) await db.run(async session => { await session.insert(KEYED[name as keyof typeof KEYED] as EntityName, row) })
  }
}

onEachDatabase('keys of every kind are found by what stands for them, and by nothing else', keyed, async (t, { orm }) => {
  await addRows(orm)
  for (const [name, { found, missing }] of Object.entries(KEYS)) {
    const entity = KEYED[name as keyof typeof KEYED] as EntityName
    for (const [id, key] of found) t.same(await look(entity, id), key, `${name} ${print(id)}`)
    for (const id of [...NEVER, ...missing]) {
      const isBoolean = name === 'Switch' && typeof id === 'boolean'
      if (!isBoolean) t.equal(await look(entity, id), 404, `${name} ${print(id)}`)
    }
  }
})

onEachDatabase('an error of the database that is not about the key stays one', keyed, async (t) => {
  await db.run(async () => { await t.rejects(db.getOr404(KEYED.Word, 'a'), { name: 'TableNotFoundException' }) })
})

onEachDatabase('a bigint keeps all its digits', { ...keyed, kinds: servers }, async (t, { orm }) => {
  await createTables(orm)
  const { Long } = KEYED
  await db.run(async session => await session.insert(Long, { id: 2n ** 53n + 1n }))
  for (const id of [2n ** 53n + 1n, '9007199254740993']) t.equal(await look(Long, id), '9007199254740993')
  for (const id of ['9007199254740992', 2 ** 53, '9007199254740994']) t.equal(await look(Long, id), 404)
})

onEachDatabase('whatever is asked for, it is the right row or a 404', keyed, async (t, { orm }) => {
  await addRows(orm)
  for (const [name, { found }] of Object.entries(KEYS)) await holds(t, name as keyof typeof KEYED, found.map(([id]) => id))
})

/** Those whose keys can be written in more than one way; 'Loose' takes anything, as the application's own types may. */
const UNLIKE_TEXT = new Set(['Hash', 'Loose', 'Moment', 'Word'])

/** Starts from what is found, and from anything. Whatever is found is as text what was asked for. */
async function holds (t: Test, name: keyof typeof KEYED, ids: unknown[]): Promise<void> {
  const [id] = ids
  const changed = fc.tuple(fc.constantFrom(...ids.map(String)), fc.string({ unit: 'binary' }), fc.nat(40)).map(([text, more, at]) => text.slice(0, at) + more + text.slice(at))
  const anything = fc.oneof(changed, fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true, withTypedArray: true }), fc.integer(), fc.bigInt(), fc.double())
  await fc.assert(fc.asyncProperty(anything, async value => {
    const key = await look(KEYED[name] as EntityName, value)
    if (key === 404 || Array.isArray(id) || UNLIKE_TEXT.has(name)) return
    if ((name === 'Price' || name === 'Cents') && Number(key) === Number(value)) return
    if (String(key) !== String(value)) throw new Error(`${name}: found ${print(key)} for ${print(value)}`)
  }), { numRuns: 60 })
  t.pass(name)
}

function print (value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : typeof value === 'object' && value !== null ? JSON.stringify(value) ?? 'object' : String(value)
}

onEachDatabase('db.firstOr404() gives the first by orderBy, and then by the primary key', watched, async (t, stage) => {
  await addItems(stage, 'c', 'b', 'a')
  await stage.app.db.run(async session => await session.nativeUpdate(Item, { label: ['a', 'b'] }, { amount: 7 }))
  await db.run(async () => {
    t.equal((await db.firstOr404(Item, {}, { orderBy: { label: 'asc' } })).label, 'a')
    t.equal((await db.firstOr404(Item, {}, { orderBy: { amount: 'desc' } })).label, 'b')
    t.equal((await db.firstOr404(Item, {}, { orderBy: [{ amount: 'desc' }, { id: 'desc' }] })).label, 'a')
    t.equal((await db.firstOr404(Item, {})).label, 'c')
    await t.rejects(db.firstOr404(Item, { label: 'x' }), { statusCode: 404, message: 'Item not found' })
    await t.rejects(db.firstOr404(Item, { label: 'x' }, { description: 'No such thing' }), { statusCode: 404, message: 'No such thing' })
    t.match(await statementsOf(async () => await db.firstOr404(Item, {})), [/limit 1/])
  })
})

onEachDatabase('db.oneOr404() gives the only one', watched, async (t, stage) => {
  await addItems(stage, 'a', 'b', 'c')
  await db.run(async () => {
    t.equal((await db.oneOr404(Item, { label: 'b' }, { populate: ['parts'] })).parts.length, 0)
    await t.rejects(db.oneOr404(Item, { label: 'x' }), { statusCode: 404, message: 'Item not found' })
    await t.rejects(db.oneOr404(Item, { label: ['a', 'b'] }), { statusCode: 404, message: 'Item not found' })
    await t.rejects(db.oneOr404(Item, {}, { description: 'Which one?' }), { statusCode: 404, message: 'Which one?' })
    t.match(await statementsOf(async () => await t.rejects(db.oneOr404(Item, {}))), [/limit 2/])
  })
})

onEachDatabase('look-ups need a scope, and use the database that they are asked of', watched, async (t, stage) => {
  await addItems(stage, 'a')
  await stage.addDatabase('other')
  await t.rejects(db.getOr404(Item, 1), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  await t.rejects(db.firstOr404(Item, {}), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  await t.rejects(db.oneOr404(Item, {}), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  await t.rejects(db.paginate(Item, {}), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  await t.rejects(db.paginateByCursor(Item, {}), { code: 'FST_SCOPED_DB_NO_SCOPE' })
  await db.run(async () => {
    t.equal((await db.getOr404(Item, 1)).label, 'a')
    await t.rejects(db.use('other').getOr404(Item, 1), { code: 'FST_SCOPED_DB_NOT_FOUND' })
  })
})
