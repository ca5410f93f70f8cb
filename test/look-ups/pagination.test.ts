import { Cursor } from '@mikro-orm/core'
import fc from 'fast-check'
import t from 'tap'
import { iterPages, Pagination } from '../../lib/look-ups/pagination.ts'
import { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { AUTHORS, BOOKS, LISTED } from '../support/listed-entities.ts'
import { onEachDatabase, type Stage, type StageOptions } from '../support/on-each-database.ts'

const logged: string[] = []

/** What was sent to the database while `work` ran. */
async function statementsOf (work: () => Promise<unknown>): Promise<string[]> {
  logged.length = 0
  await work()
  return logged.filter(line => /\bselect\b/.test(line))
}

const watched: StageOptions = { orm: { debug: ['query', 'query-params'], colors: false, logger: line => { logged.push(line) } } }
const listed: StageOptions = { orm: { ...watched.orm, entities: Object.values(LISTED) } }

/** Items 1, 2, ... whose amounts are the same for three at a time. */
async function addItems ({ app }: Stage, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, index) => ({ id: index + 1, label: `item ${index + 1}`, amount: Math.floor(index / 3) }))
  await app.db.run(async session => await session.insertMany(Item, rows))
}

async function addBooks (orm: Stage['orm']): Promise<void> {
  await orm.config.getExtension<{ create (): Promise<void> }>('@mikro-orm/schema-generator')?.create()
  await db.run(async session => {
    await session.insertMany(LISTED.Author, AUTHORS)
    for (const book of BOOKS) session.create(LISTED.Book, book)
    await session.flush()
  })
}

const idsOf = (rows: Iterable<{ id: number }>) => [...rows].map(({ id }) => id)

onEachDatabase('db.paginate() gives one page and where it is', watched, async (t, stage) => {
  await addItems(stage, 45)
  await db.run(async () => {
    const first = await db.paginate(Item, {})
    t.same(idsOf(first), Array.from({ length: 20 }, (_, index) => index + 1), 'by the primary key, twenty to a page')
    t.match(first, { total: 45, page: 1, perPage: 20, pages: 3, hasNext: true, hasPrev: false, nextNum: 2, prevNum: null, first: 1, last: 20 })
    const last = await db.paginate(Item, {}, { page: 3 })
    t.same(idsOf(last.items), [41, 42, 43, 44, 45])
    t.match(last, { total: 45, page: 3, perPage: 20, pages: 3, hasNext: false, hasPrev: true, nextNum: null, prevNum: 2, first: 41, last: 45 })
    const found = await db.paginate(Item, { amount: 2 }, { page: 2, perPage: 2 })
    t.same(found.toJSON(), { items: found.items, total: 3, page: 2, perPage: 2, pages: 2, hasNext: false, hasPrev: true, first: 3, last: 3 })
    const none = await db.paginate(Item, { label: 'x' })
    t.match(none, { items: [], total: 0, page: 1, pages: 0, hasNext: false, hasPrev: false, first: 0, last: 0 })
    t.same([...none.iterPages()], [])
    t.same([...first.iterPages()], [1, 2, 3])
  })
})

onEachDatabase('numbers from a query string are text, or wrong', watched, async (t, stage) => {
  await addItems(stage, 5)
  await db.run(async () => {
    t.match(await db.paginate(Item, {}, { page: '2', perPage: '3' }), { page: 2, perPage: 3, first: 4, last: 5 })
    for (const page of ['0', 0, -1, '-1', '', ' 1', '1x', 'abc', '1.5', 1.5, '1e3', Number.NaN, -Infinity, null, [1], ['1', '2'], {}, true, 2n]) {
      const invalid = { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_PAGE' }
      await t.rejects(db.paginate(Item, {}, { page: page as never }), { ...invalid, message: 'page must be a whole number from 1 on' })
      await t.rejects(db.paginate(Item, {}, { perPage: page as never }), { ...invalid, message: 'perPage must be a whole number from 1 on' })
      t.match(await db.paginate(Item, {}, { page: page as never, perPage: page as never }, { lenient: true }), { page: 1, perPage: 20 })
    }
  })
})

onEachDatabase('perPage is cut down to maxPerPage', watched, async (t, stage) => {
  await addItems(stage, 5)
  await db.run(async () => {
    t.equal((await db.paginate(Item, {}, { perPage: '1000' })).perPage, 100)
    t.equal((await db.paginate(Item, {}, { perPage: 1000 }, { maxPerPage: 2 })).perPage, 2)
    t.equal((await db.paginate(Item, {}, {}, { maxPerPage: 2 })).perPage, 2, 'the default too')
    for (const perPage of [1000, '9'.repeat(400), Infinity]) {
      for (const count of [true, false]) {
        t.equal((await db.paginate(Item, {}, { perPage }, { maxPerPage: Infinity, count })).items.length, 5)
      }
    }
  })
})

onEachDatabase('a page that is not there is a 404', watched, async (t, stage) => {
  await addItems(stage, 5)
  stage.app.get('/', async request => await db.paginate(Item, {}, { perPage: 2, ...request.query as object }))
  for (const page of ['4', '999999', '9007199254740991', '9007199254740993', '99999999999999999999', '9'.repeat(400)]) {
    const reply = await stage.app.inject({ url: '/', query: { page } })
    t.match(reply.json(), { statusCode: 404, code: 'FST_SCOPED_DB_NOT_FOUND', message: /^Page \d+ of Item not found$/ }, page)
    await db.run(async () => {
      for (const count of [true, false]) {
        const empty = await db.paginate(Item, {}, { page, perPage: 2 }, { lenient: true, count })
        t.match(empty, { items: [], total: count ? 5 : null, pages: count ? 3 : null, hasNext: false, hasPrev: true, first: 0, last: 0 })
      }
    })
  }
  t.same((await stage.app.inject({ url: '/', query: { page: 'x' } })).json(), { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_PAGE', error: 'Bad Request', message: 'page must be a whole number from 1 on' })
  t.same(stage.logs.filter(({ level }) => level > 30), [])
  await db.run(async () => {
    t.same(await statementsOf(async () => await t.rejects(db.paginate(Item, {}, { page: 2 ** 53 }))), [], 'its offset is no number')
  })
})

onEachDatabase('it counts only where that tells something', watched, async (t, stage) => {
  await addItems(stage, 5)
  const statements = async ({ count = true, lenient = false, ...query }: { page?: number, perPage?: number, count?: boolean, lenient?: boolean }) =>
    (await statementsOf(async () => await db.run(async () => await db.paginate(Item, {}, query, { count, lenient })))).length
  t.equal(await statements({ perPage: 2 }), 2)
  t.equal(await statements({ perPage: 2, page: 3 }), 1, 'a page that is not full is the last one')
  t.equal(await statements({ perPage: 5 }), 2, 'it could be')
  t.equal(await statements({ perPage: 6 }), 1)
  t.equal(await statements({ perPage: 2, count: false }), 1)
  t.equal(await statements({ perPage: 2, page: 9, lenient: true }), 2)
  const ofNothing = await statementsOf(async () => await db.run(async () => await db.paginate(Item, { label: 'x' })))
  t.match(ofNothing, { length: 1 }, 'a first page without items is the last one, too')
})

onEachDatabase('without a count it still knows whether there is more', watched, async (t, stage) => {
  await addItems(stage, 4)
  await db.run(async () => {
    const page = await db.paginate(Item, {}, { perPage: 2 }, { count: false })
    t.match(page.toJSON(), { total: null, pages: null, hasNext: true, hasPrev: false, first: 1, last: 2 })
    t.same([page.items.length, page.nextNum, [...page.iterPages()]], [2, 2, []])
    t.match(await db.paginate(Item, {}, { perPage: 2, page: 2 }, { count: false }), { hasNext: false, hasPrev: true, first: 3, last: 4, nextNum: null })
  })
})

onEachDatabase('the order is complete', watched, async (t, stage) => {
  await addItems(stage, 10)
  const orderOf = async (orderBy?: object) => {
    const [statement = ''] = await statementsOf(async () => await db.run(async () => await db.paginate(Item, {}, {}, { count: false, ...orderBy !== undefined && { orderBy } })))
    return /order by (.*) limit/.exec(statement)?.[1]?.replaceAll(/`(?:i0`\.`)?/g, '')
  }
  t.equal(await orderOf(), 'id asc')
  t.equal(await orderOf({}), 'id asc')
  t.equal(await orderOf({ amount: 'desc' }), 'amount desc, id asc')
  t.equal(await orderOf([{ amount: 'desc' }, { id: 'desc' }]), 'amount desc, id desc')
  t.equal(await orderOf({ id: 'desc', amount: 'asc' }), 'id desc, amount asc')
  await db.run(async () => {
    const seen: number[] = []
    for (const page of [1, 2, 3, 4]) seen.push(...idsOf(await db.paginate(Item, {}, { page, perPage: 3 }, { orderBy: { amount: 'desc' } })))
    t.same(seen, [10, 7, 8, 9, 4, 5, 6, 1, 2, 3])
  })
})

onEachDatabase('collections do not change what a page is', watched, async (t, stage) => {
  await addItems(stage, 5)
  await db.run(async session => {
    await session.insertMany(Part, [1, 2, 3, 4, 5, 6].map(id => ({ id, item: id < 4 ? 1 : 2, name: `part ${id}` })))
    const page = await db.paginate(Item, {}, { perPage: 2 }, { populate: ['parts'] })
    t.same(page.items.map(({ parts }) => parts.length), [3, 3])
    t.equal(page.total, 5)
    const joined = await db.paginate(Item, { parts: { name: { $like: 'part%' } } }, { perPage: 1 })
    t.match(joined, { total: 2, pages: 2 })
    t.same(idsOf(joined), [1])
  })
})

void t.test('iterPages() is Flask-SQLAlchemy\'s', async t => {
  const onPage = (page: number, total: number) => new Pagination([], total, page, 1, page < total)
  t.same([...onPage(7, 20).iterPages()], [1, 2, null, 5, 6, 7, 8, 9, 10, 11, null, 19, 20])
  t.same([...onPage(1, 20).iterPages()], [1, 2, 3, 4, 5, null, 19, 20])
  t.same([...onPage(20, 20).iterPages({ leftEdge: 1, leftCurrent: 1 })], [1, null, 19, 20])
  t.same([...onPage(5, 9).iterPages({ leftEdge: 0, leftCurrent: 0, rightCurrent: 0, rightEdge: 0 })], [null, 5, null])
  t.same([...onPage(99, 20).iterPages()], [1, 2, null, 18, 19, 20], 'behind the last page')
  t.same([...onPage(1, 0).iterPages()], [])
})

void t.test('whatever the edges, page numbers rise, and gaps are where numbers are missing', async t => {
  const edge = fc.nat(6)
  const edges = fc.record({ leftEdge: edge, leftCurrent: edge, rightCurrent: edge, rightEdge: edge })
  fc.assert(fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(50), edges, (page, pages, options) => {
    const given = [...iterPages(page, pages, options)]
    const current = Math.min(page, pages)
    const isWanted = (number: number) => number <= options.leftEdge || number > pages - options.rightEdge ||
      (number >= current - options.leftCurrent && number <= current + options.rightCurrent)
    const all = Array.from({ length: pages }, (_, index) => isWanted(index + 1) ? index + 1 : null)
    const expected = all.filter((number, index) => number !== null || all[index - 1] !== null)
    t.same(given, expected)
  }), { numRuns: 300 })
})

void t.test('the numbers of a page fit together', async t => {
  fc.assert(fc.property(fc.nat(500), fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20 }), (total, perPage, page) => {
    const size = Math.max(0, Math.min(perPage, total - (page - 1) * perPage))
    const made = new Pagination(Array(size).fill(0), total, page, perPage, page * perPage < total)
    t.equal(made.pages, Math.ceil(total / perPage))
    t.equal(made.hasNext, made.page < made.pages)
    t.equal(made.last - made.first + 1, size === 0 ? 1 : size)
    t.ok(made.last <= total)
    t.equal(made.nextNum, made.hasNext ? page + 1 : null)
    t.equal(made.prevNum, page === 1 ? null : page - 1)
  }), { numRuns: 300 })
})

/** Follows the cursors through the whole list, and back. */
async function walk (orderBy: object): Promise<{ there: number[], back: number[] }> {
  const pageOf = async (query: object) => await db.paginateByCursor(LISTED.Book, {}, query, { orderBy, populate: ['author'] } as object)
  const there: number[] = []
  const back: number[] = []
  let page = await pageOf({ first: 5 })
  there.push(...idsOf(page.items))
  while (page.hasNext) {
    page = await pageOf({ first: 5, after: page.endCursor })
    there.push(...idsOf(page.items))
  }
  page = await pageOf({ last: 5 })
  back.unshift(...idsOf(page.items))
  while (page.hasPrev) {
    page = await pageOf({ last: 5, before: page.startCursor })
    back.unshift(...idsOf(page.items))
  }
  return { there, back }
}

/** Orders by every kind of property. */
const ORDERS: Record<string, object> = {
  nothing: {},
  title: { title: 'desc' },
  subtitle: { subtitle: 'asc' },
  sold: { sold: 'desc' },
  weight: { weight: 'asc' },
  price: { price: 'desc' },
  isNew: { isNew: 'asc' },
  added: { added: 'desc' },
  printed: { printed: 'asc' },
  kind: { kind: 'asc' },
  code: { code: 'desc' },
  jsonCode: { jsonCode: 'asc' },
  author: { author: 'desc' },
  authorName: { author: { name: 'asc' } },
  shop: [{ shop: { town: 'asc' } }, { shop: { house: 'desc' } }],
  town: { shop: { town: 'asc' } },
  rank: { extra: { rank: 'desc' } },
  several: [{ title: 'asc' }, { sold: 'desc' }, { id: 'desc' }]
}

onEachDatabase('db.paginateByCursor() goes through a list in any order, and back', listed, async (t, { orm }) => {
  await addBooks(orm)
  for (const [name, orderBy] of Object.entries(ORDERS)) {
    await db.run(async () => {
      const all = idsOf(await db.paginate(LISTED.Book, {}, {}, { orderBy }))
      const { there, back } = await walk(orderBy)
      t.same(there, all, name)
      t.same(back, all, `${name}, back`)
    })
  }
})

onEachDatabase('db.paginateByCursor() gives what a page has', listed, async (t, { orm }) => {
  await addBooks(orm)
  await db.run(async () => {
    const { Book } = LISTED
    const first = await db.paginateByCursor(Book, {}, { first: '5' })
    t.match(first, { total: null, hasNext: true, hasPrev: false, startCursor: Cursor.encode([1]), endCursor: Cursor.encode([5]) })
    const counted = await db.paginateByCursor(Book, { isNew: true }, { first: 2, after: String(first.endCursor) }, { count: true })
    t.same([idsOf(counted.items), counted.total, counted.hasNext, counted.hasPrev], [[7, 9], 6, true, true])
    t.same(idsOf((await db.paginateByCursor(Book, {}, { before: String(first.endCursor) })).items), [1, 2, 3, 4])
    t.same(idsOf((await db.paginateByCursor(Book, {}, { before: String(first.endCursor) }, { maxPerPage: 2 })).items), [3, 4], 'the way back')
    t.same(idsOf((await db.paginateByCursor(Book, {}, { first: 2, before: String(first.endCursor) })).items), [1, 2])
    t.same(idsOf((await db.paginateByCursor(Book, {}, { after: Cursor.encode([2]), before: Cursor.encode([5]) })).items), [3, 4])
    t.same(await db.paginateByCursor(Book, { title: 'x' }), { items: [], total: null, hasNext: false, hasPrev: false, startCursor: null, endCursor: null })
    t.equal((await db.paginateByCursor(Book, {}, { first: 9 }, { maxPerPage: 4 })).items.length, 4)
    t.equal((await db.paginateByCursor(Book, {}, { last: 99999 }, { maxPerPage: Infinity })).items.length, 12)
    t.match(await statementsOf(async () => await db.paginateByCursor(Book, {}, { first: 2 })), { length: 1 })
    await t.rejects(db.paginateByCursor(Book, {}, { first: 1, last: 1 }), { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_PAGE', message: 'last must be left out where first is given' })
    await t.rejects(db.paginateByCursor(Book, {}, { first: 0 }), { statusCode: 400, message: 'first must be a whole number from 1 on' })
    await t.rejects(db.paginateByCursor(Book, {}, { last: 'x' }), { statusCode: 400, message: 'last must be a whole number from 1 on' })
  })
})

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** By order: values that are in no row, ahead of the primary key. */
const WRONG: Record<string, unknown[]> = {
  title: [1, null, {}, { $ne: null }, ['a'], 'a\0', true],
  subtitle: [1, {}, { $ne: null }],
  sold: ['1x', 1.5, null, '9'.repeat(30), {}],
  weight: ['x', null, [1], {}],
  price: ['x', '1,5', null, {}],
  isNew: ['true', 1, null],
  added: ['x', '2024-02-30', 1, null, {}],
  printed: ['x', '2024-02-30', 20240101],
  kind: ['prose', 1, null],
  code: ['x', 1.5, {}, null, ['c1']],
  jsonCode: ['x', 1, {}, null],
  author: ['x', 1.5, { id: 1 }, [1]],
  authorName: ['x', 1, {}, { name: 1 }, { name: { $ne: null } }, { name: null }],
  town: ['x', 1, null, {}, { town: 1 }, { town: { $ne: null } }, ['York']],
  rank: ['x', {}, { rank: {} }, { rank: { $ne: null } }, { rank: [1] }]
}

onEachDatabase('a cursor that was tampered with is a 400', listed, async (t, { orm }) => {
  await addBooks(orm)
  const refuses = async (cursor: unknown, orderBy: unknown) => {
    for (const name of ['after', 'before']) {
      const statements = await statementsOf(async () => await db.run(async () => {
        await t.rejects(db.paginateByCursor(LISTED.Book, {}, { [name]: cursor }, { orderBy } as object),
          { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_CURSOR', message: `${name} is not a cursor of this list` }, `${JSON.stringify(orderBy)} ${JSON.stringify(cursor)}`)
      }))
      t.same(statements, [])
    }
  }
  for (const cursor of ['', 'x', '%%%', encode({}), encode([]), encode(1), encode('1'), encode(null), encode([null]), encode([1, 1]), encode(['x']), encode([{ $gt: 0 }]), [encode([1])], 5, {}, null]) {
    await refuses(cursor, {})
  }
  for (const [name, values] of Object.entries(WRONG)) {
    for (const value of values) await refuses(encode([value, 1]), ORDERS[name])
    await refuses(encode([1]), ORDERS[name])
  }
})

onEachDatabase('whatever the cursor, it is a page or a 400', listed, async (t, { orm }) => {
  await addBooks(orm)
  const value = fc.oneof(fc.anything(), fc.integer(), fc.string({ unit: 'binary' }), fc.constantFrom(null, 'c1', 'York', '2024-01-01', '1.50', true))
  const cursor = fc.oneof(fc.string({ unit: 'binary' }), fc.tuple(value, fc.oneof(fc.nat(20), value)).map(encode))
  await fc.assert(fc.asyncProperty(fc.constantFrom(...Object.values(ORDERS)), cursor, async (orderBy, after) => {
    const outcome = await db.run(async () => await db.paginateByCursor(LISTED.Book, {}, { after }, { orderBy, populate: ['author'] })).then(() => 'a page', (error: unknown) => {
      if ((error as { code: unknown }).code === 'FST_SCOPED_DB_INVALID_CURSOR') return 'a 400'
      throw error
    })
    t.match(outcome, /a page|a 400/)
  }), { numRuns: 300 })
})
