import type { Collection } from '@mikro-orm/core'
import { defineEntity, OptionalProps, p } from '@mikro-orm/core'

export class Place {
  declare street: string
  declare city: string
}

export class Item {
  declare [OptionalProps]?: 'code' | 'data' | 'version'
  declare id: number
  declare version: number
  declare name: string
  declare title: string
  declare code: string | null
  declare place: Place
  declare data: { count: number } | null
  declare parts: Collection<Part>
  declare labels: Collection<Label>
}

export class Part {
  declare [OptionalProps]?: 'item' | 'version'
  declare id: number
  declare version: number
  declare name: string
  declare title: string
  declare item: Item | null
}

export class Label {
  declare [OptionalProps]?: 'version'
  declare id: number
  declare version: number
  declare name: string
  declare title: string
}

export type Entity = Item | Part | Label

const PlaceSchema = defineEntity({
  class: Place,
  embeddable: true,
  properties: {
    street: p.string(),
    city: p.string()
  }
})

const ItemSchema = defineEntity({
  class: Item,
  properties: {
    id: p.integer().primary(),
    version: p.integer().version(),
    name: p.string(),
    title: p.string(),
    code: p.string().nullable().unique(),
    place: () => p.embedded(PlaceSchema),
    data: p.json<{ count: number }>().nullable(),
    parts: () => p.oneToMany(PartSchema).mappedBy('item'),
    // One way: with both, MikroORM itself writes a link that was added and taken away again before the flush.
    labels: () => p.manyToMany(LabelSchema).pivotTable('item_label')
  }
})

const PartSchema = defineEntity({
  class: Part,
  properties: {
    id: p.integer().primary(),
    version: p.integer().version(),
    name: p.string(),
    title: p.string(),
    item: () => p.manyToOne(ItemSchema).nullable().inversedBy('parts')
  }
})

const LabelSchema = defineEntity({
  class: Label,
  properties: {
    id: p.integer().primary(),
    version: p.integer().version(),
    name: p.string(),
    title: p.string()
  }
})

export const entities = [PlaceSchema, ItemSchema, PartSchema, LabelSchema]

export const CLASSES = { item: ItemSchema, part: PartSchema, label: LabelSchema } as const
