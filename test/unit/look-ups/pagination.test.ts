import fc from 'fast-check'
import t from 'tap'
import { iterPages, Pagination } from '../../../lib/look-ups/pagination.ts'

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
