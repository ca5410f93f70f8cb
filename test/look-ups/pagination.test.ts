import { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { statementsOf, watched } from '../support/statements.ts'

/** Items 1, 2, ... whose amounts are the same for three at a time. */
async function addItems ({ app }: Stage, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, index) => ({ id: index + 1, label: `item ${index + 1}`, amount: Math.floor(index / 3) }))
  await app.db.run(async session => await session.insertMany(Item, rows))
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
    return /order by (.*) limit/.exec(statement)?.[1]?.replaceAll(/[`"](?:i0[`"]\.[`"])?/g, '')
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
