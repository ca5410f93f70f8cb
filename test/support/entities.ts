import type { Collection } from '@mikro-orm/core'
import { defineEntity, OptionalProps, p } from '@mikro-orm/core'

/** A row that a test writes; `label` is unique. */
export class Item {
  declare [OptionalProps]?: 'amount'
  declare id: number
  declare label: string
  declare amount: number
  declare parts: Collection<Part>
}

export class Part {
  declare id: number
  declare item: Item
  declare name: string
}

export const ItemSchema = defineEntity({
  class: Item,
  properties: {
    id: p.integer().primary(),
    label: p.string().unique(),
    amount: p.integer().default(0),
    parts: () => p.oneToMany(PartSchema).mappedBy('item')
  }
})

export const PartSchema = defineEntity({
  class: Part,
  properties: {
    id: p.integer().primary(),
    item: () => p.manyToOne(ItemSchema),
    name: p.string()
  }
})
