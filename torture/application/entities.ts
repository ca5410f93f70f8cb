import { defineEntity, OptionalProps, p } from '@mikro-orm/core'

/** One row of a unit of work: each request writes several, under its token. */
export class Entry {
  declare [OptionalProps]?: 'counter' | 'mark'
  declare id: number
  declare token: string
  declare part: number
  declare counter: number | null
  declare mark: string | null
}

/** What requests fight for. Its value must be the number of entries that name it. */
export class Counter {
  declare id: number
  declare value: number
}

/** The mark that is taken from the start, so that a second entry with it is refused. */
export const TAKEN = 'taken'

/** How many counters there are; requests fight most for the first ones. */
export const COUNTERS = 8

export const EntrySchema = defineEntity({
  class: Entry,
  properties: {
    id: p.integer().primary(),
    token: p.string().index(),
    part: p.integer(),
    counter: p.integer().nullable(),
    mark: p.string().nullable().unique()
  }
})

export const CounterSchema = defineEntity({
  class: Counter,
  properties: {
    id: p.integer().primary().autoincrement(false),
    value: p.integer()
  }
})
