import { defineEntity, p } from '@mikro-orm/core'
import { CodeType, JsonCodeType } from './keyed-entities.ts'

const Author = defineEntity({ name: 'Author', properties: { id: p.integer().primary(), name: p.string() } })

const Address = defineEntity({ name: 'Address', embeddable: true, properties: { town: p.string(), house: p.integer() } })

/** An entity to be listed by properties of all kinds. */
const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    subtitle: p.string().nullable(),
    sold: p.bigint(),
    weight: p.double(),
    price: p.decimal().precision(10).scale(2),
    isNew: p.boolean(),
    added: p.datetime(),
    printed: p.date(),
    kind: p.enum(['novel', 'poems']),
    code: p.type(CodeType),
    jsonCode: p.type(JsonCodeType),
    author: () => p.manyToOne(Author).nullable(),
    shop: () => p.embedded(Address),
    extra: p.json<{ rank: number }>()
  }
})

export const LISTED = { Author, Address, Book }

const COUNT = 12

/** Rows in which no property but the key differs everywhere. */
export const AUTHORS = [{ id: 1, name: 'Ada' }, { id: 2, name: 'Bob' }]
export const BOOKS = Array.from({ length: COUNT }, (_, index) => ({
  id: index + 1,
  title: ['b', 'a', 'c'][index % 3] ?? '',
  subtitle: index % 4 === 0 ? null : `s${index % 2}`,
  sold: BigInt(index % 5),
  weight: (index % 5) / 4,
  price: `${index % 4}.50`,
  isNew: index % 2 === 0,
  added: new Date(Date.UTC(2024, index % 3, 1)),
  printed: `2024-0${1 + index % 3}-01`,
  kind: index % 2 === 0 ? 'novel' as const : 'poems' as const,
  code: `c${index % 5}`,
  jsonCode: `c${index % 5}`,
  author: index % 3 === 0 ? null : 1 + index % 2,
  shop: { town: index % 2 === 0 ? 'York' : 'Bath', house: index % 3 },
  extra: { rank: index % 3 }
}))
