import { defineEntity, p } from '@mikro-orm/core'

export class Note {
  declare id: number
  declare author: string
  declare text: string
}

/** The only table of this application. */
export const NoteSchema = defineEntity({
  class: Note,
  tableName: 'scoped_db_demo_note',
  properties: {
    id: p.integer().primary(),
    author: p.string(),
    text: p.string()
  }
})
