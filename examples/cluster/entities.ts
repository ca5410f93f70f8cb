import { defineEntity, p, type InferEntity } from '@mikro-orm/core'

/** One row that everybody wants. */
export const Article = defineEntity({
  name: 'Article',
  properties: {
    id: p.integer().primary(),
    sold: p.integer().default(0)
  }
})
export type Article = InferEntity<typeof Article>

export const Order = defineEntity({
  name: 'Order',
  tableName: 'orders',
  properties: {
    id: p.integer().primary(),
    // The client's own: who was told that nobody knows finds out with it.
    key: p.string().unique().name('client_key'),
    article: () => p.manyToOne(Article)
  }
})
