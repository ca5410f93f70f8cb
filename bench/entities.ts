import { defineEntity, p } from '@mikro-orm/core'

export const Author = defineEntity({
  name: 'Author',
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    visits: p.integer().default(0)
  }
})

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    author: () => p.manyToOne(Author)
  }
})

/** How many rows there are to read before the first request. */
export const AUTHORS = 1000
export const BOOKS = 200
