import { Cursor } from '@mikro-orm/core'
import fc from 'fast-check'
import { db } from '../../plugin.ts'
import { AUTHORS, BOOKS, LISTED } from '../support/listed-entities.ts'
import { onEachDatabase, type Stage, type StageOptions } from '../support/on-each-database.ts'
import { statementsOf, watched } from '../support/statements.ts'

const listed: StageOptions = { orm: { ...watched.orm, entities: Object.values(LISTED) } }

async function addBooks (orm: Stage['orm']): Promise<void> {
  await orm.config.getExtension<{ create (): Promise<void> }>('@mikro-orm/schema-generator')?.create()
  await db.run(async session => {
    await session.insertMany(LISTED.Author, AUTHORS)
    for (const book of BOOKS) session.create(LISTED.Book, book)
    await session.flush()
  })
}

const idsOf = (rows: Iterable<{ id: number }>) => [...rows].map(({ id }) => id)

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
