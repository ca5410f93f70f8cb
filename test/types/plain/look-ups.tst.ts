import type { Loaded } from '@mikro-orm/core'
import { defineEntity, p, type InferEntity } from '@mikro-orm/sqlite'
import { cursorPageSchema, db, pageQuerySchema, pageSchema } from 'fastify-scoped-db'
import type { CursorPage, LookUpId, PageQuery, Pagination } from 'fastify-scoped-db'
import { describe, expect, test } from 'tstyche'

const AuthorSchema = defineEntity({ name: 'Author', properties: { id: p.integer().primary(), name: p.string() } })
const BookSchema = defineEntity({
  name: 'Book',
  properties: { id: p.integer().primary(), title: p.string(), author: () => p.manyToOne(AuthorSchema).ref() }
})
const SeatSchema = defineEntity({
  name: 'Seat',
  primaryKeys: ['row', 'place'],
  properties: { row: p.integer().primary(), place: p.string().primary() }
})
type Book = InferEntity<typeof BookSchema>
type Seat = InferEntity<typeof SeatSchema>

describe('db.getOr404()', () => {
  test('gives what findOne() gives, and never null', () => {
    expect(db.getOr404(BookSchema, 1)).type.toBe<Promise<Loaded<Book>>>()
    expect(db.getOr404(BookSchema, 1, { populate: ['author'] })).type.toBe<Promise<Loaded<Book, 'author'>>>()
    expect(db.getOr404(BookSchema, 1, { fields: ['title'] })).type.toBe<Promise<Loaded<Book, never, 'title'>>>()
  })

  test('takes the primary key, or text for it', () => {
    expect<LookUpId<Book>>().type.toBe<number | string>()
    expect<[number, string]>().type.toBeAssignableTo<LookUpId<Seat>>()
    expect<[string, string]>().type.toBeAssignableTo<LookUpId<Seat>>()
    expect(db.getOr404(SeatSchema, ['1', 'a'])).type.toBe<Promise<Loaded<Seat>>>()
    expect<[number]>().type.not.toBeAssignableTo<LookUpId<Seat>>()
    expect(db.getOr404<Book>).type.not.toBeCallableWith(BookSchema, { id: 1 })
    expect(db.getOr404<Book>).type.not.toBeCallableWith(BookSchema, undefined)
  })

  test('takes the options of findOne(), and a description', () => {
    expect(db.getOr404<Book>).type.toBeCallableWith(BookSchema, '1', { description: 'No such book', filters: false })
    void db.getOr404(BookSchema, 1, {
      // @ts-expect-error Type '"writer"' is not assignable to type
      populate: ['writer']
    })
  })
})

describe('db.firstOr404() and db.oneOr404()', () => {
  test('take and give what find() does', () => {
    expect(db.firstOr404(BookSchema, { title: 'x' }, { orderBy: { title: 'asc' } })).type.toBe<Promise<Loaded<Book>>>()
    expect(db.oneOr404(BookSchema, { author: { name: 'x' } }, { populate: ['author'] })).type.toBe<Promise<Loaded<Book, 'author'>>>()
    expect(db.oneOr404<Book>).type.not.toBeCallableWith(BookSchema, { titel: 'x' })
    expect(db.firstOr404<Book>).type.not.toBeCallableWith(BookSchema, {}, { limit: 1 })
  })
})

describe('db.paginate()', () => {
  test('gives a page of entities', () => {
    expect(db.paginate(BookSchema, {})).type.toBe<Promise<Pagination<Loaded<Book>>>>()
    expect(db.paginate(BookSchema, {}, {}, { populate: ['author'], count: true })).type.toBe<Promise<Pagination<Loaded<Book, 'author'>>>>()
  })

  test('does not know the total without a count', () => {
    expect(db.paginate(BookSchema, {}, {}, { count: false })).type.toBe<Promise<Pagination<Loaded<Book>, null>>>()
    expect<Pagination<Book>['total']>().type.toBe<number>()
    expect<Pagination<Book, null>['pages']>().type.toBe<null>()
  })

  test('takes a query string', () => {
    const query: PageQuery = {}
    expect(db.paginate(BookSchema, {}, query, { orderBy: { title: 'asc' } })).type.toBe<Promise<Pagination<Loaded<Book>>>>()
    expect(db.paginate<Book>).type.toBeCallableWith(BookSchema, {}, { page: '2', perPage: '10' })
    expect(db.paginate<Book>).type.not.toBeCallableWith(BookSchema, {}, {}, { offset: 10 })
    expect(db.paginate<Book>).type.not.toBeCallableWith(BookSchema, {}, {}, { orderBy: { titel: 'asc' } })
    expect(db.paginate<Book>).type.not.toBeCallableWith(BookSchema, {}, { ...query, orderBy: { title: 'asc' } })
    expect(db.paginate<Book>).type.not.toBeCallableWith(BookSchema, {}, {}, { page: 2 })
  })
})

describe('db.paginateByCursor()', () => {
  test('gives a page of entities', () => {
    expect(db.paginateByCursor(BookSchema, {}, { first: 1 })).type.toBe<Promise<CursorPage<Loaded<Book>>>>()
    expect(db.paginateByCursor(BookSchema, {}, {}, { populate: ['author'], count: true })).type.toBe<Promise<CursorPage<Loaded<Book, 'author'>, number>>>()
    expect(db.paginateByCursor<Book>).type.not.toBeCallableWith(BookSchema, {}, {}, { limit: 1 })
    expect(db.paginateByCursor<Book>).type.not.toBeCallableWith(BookSchema, {}, {}, { first: 1 })
  })
})

describe('schemas', () => {
  test('keep their literal types, for type providers', () => {
    expect(pageQuerySchema.properties.page.type).type.toBe<'integer'>()
    expect(pageSchema({ type: 'string' } as const).properties.items.items.type).type.toBe<'string'>()
    expect(cursorPageSchema({ type: 'string' } as const).properties.endCursor.nullable).type.toBe<true>()
  })
})
