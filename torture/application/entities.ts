import { defineEntity, JsonType, OptionalProps, p } from '@mikro-orm/core'

/** One row of a unit of work: each request writes several, under its token. */
export class Entry {
  declare [OptionalProps]?: 'counter' | 'mark' | 'note'
  declare id: number
  declare token: string
  declare part: number
  declare counter: number | null
  declare mark: string | null
  declare note: Note | null
}

/** What requests fight for. Its value must be the number of entries that name it. */
export class Counter {
  declare id: number
  declare value: number
}

/** JSON cannot hold a bigint. */
export type Note = Record<string, number | bigint | boolean>

/** The mark that is taken from the start, so that a second entry with it is refused. */
export const TAKEN = 'taken'

/** The id of that entry. Of who is refused it MySQL locks nothing that others write. */
export const TAKEN_ID = 1

/** The token of the entry whose note nobody can read. */
export const UNREADABLE = 'unreadable'

/** How many counters there are; requests fight most for the first ones. */
export const COUNTERS = 8

/** JSON that cannot be converted in either direction, depending on what is in it. */
class NoteType extends JsonType {
  override convertToJSValue (...args: Parameters<JsonType['convertToJSValue']>): unknown {
    const note = super.convertToJSValue(...args) as Note | null
    if (note?.[UNREADABLE] === true) throw new RangeError('this note cannot be read')
    return note
  }
}

export const EntrySchema = defineEntity({
  class: Entry,
  properties: {
    id: p.integer().primary(),
    token: p.string().index(),
    part: p.integer(),
    counter: p.integer().nullable(),
    mark: p.string().nullable().unique(),
    note: p.type(NoteType).$type<Note>().nullable()
  }
})

export const CounterSchema = defineEntity({
  class: Counter,
  properties: {
    id: p.integer().primary().autoincrement(false),
    value: p.integer()
  }
})
