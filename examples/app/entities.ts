import { defineEntity, p, type InferEntity } from '@mikro-orm/core'

export const User = defineEntity({
  name: 'User',
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    tokenHash: p.string().unique().hidden()
  }
})
export type User = InferEntity<typeof User>

export const Author = defineEntity({
  name: 'Author',
  properties: {
    id: p.integer().primary(),
    name: p.string().unique(),
    books: () => p.oneToMany(Book).mappedBy('author')
  }
})

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    isbn: p.string().unique(),
    title: p.string(),
    author: () => p.manyToOne(Author),
    addedBy: () => p.manyToOne(User)
  }
})
