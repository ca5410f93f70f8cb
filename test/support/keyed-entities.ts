import { defineEntity, p, Type, type EntityMetadata, type Platform } from '@mikro-orm/core'

/** A type of an application: a code such as 'c12' that is a number in the database. It makes an error of anything else. */
export class CodeType extends Type<string, number> {
  override convertToDatabaseValue (code: string): number {
    const [, digits] = /^c(\d{1,4})$/.exec(code) ?? []
    if (digits === undefined) throw new TypeError(`${code} is no code`)
    return Number(digits)
  }

  override convertToJSValue (number: number | string): string {
    // A cursor has the code itself.
    return typeof number === 'string' && number.startsWith('c') ? number : `c${number}`
  }

  override getColumnType (): string {
    return 'int'
  }
}

/** The same, which says by itself how it is read from JSON. */
export class JsonCodeType extends CodeType {
  override fromJSON (value: unknown): string {
    if (typeof value !== 'string') throw new TypeError('no code')
    return value
  }
}

/** A type that takes anything. */
export class LooseType extends Type<unknown, unknown> {
  override getColumnType (): string {
    return 'varchar(8)'
  }
}

const Seat = defineEntity({
  name: 'Seat',
  primaryKeys: ['row', 'place'],
  properties: { row: p.integer().primary(), place: p.string().length(10).primary() }
})

/** Entities with all kinds of primary keys. */
export const KEYED = {
  Tiny: defineEntity({ name: 'Tiny', properties: { id: p.tinyint().primary().autoincrement(false) } }),
  Long: defineEntity({ name: 'Long', properties: { id: p.bigint().primary().autoincrement(false) } }),
  LongText: defineEntity({ name: 'LongText', properties: { id: p.bigint('string').primary().autoincrement(false) } }),
  LongNumber: defineEntity({ name: 'LongNumber', properties: { id: p.bigint('number').primary().autoincrement(false) } }),
  Device: defineEntity({ name: 'Device', properties: { id: p.uuid().primary() } }),
  Word: defineEntity({ name: 'Word', properties: { id: p.string().length(40).primary() } }),
  Colour: defineEntity({ name: 'Colour', properties: { id: p.enum(['red', 'green']).primary() } }),
  Moment: defineEntity({ name: 'Moment', properties: { id: p.datetime().primary() } }),
  Day: defineEntity({ name: 'Day', properties: { id: p.date().primary() } }),
  Hour: defineEntity({ name: 'Hour', properties: { id: p.time().primary() } }),
  Price: defineEntity({ name: 'Price', properties: { id: p.decimal().precision(10).scale(2).primary().autoincrement(false) } }),
  Ratio: defineEntity({ name: 'Ratio', properties: { id: p.double().primary().autoincrement(false) } }),
  Switch: defineEntity({ name: 'Switch', properties: { id: p.boolean().primary() } }),
  Hash: defineEntity({ name: 'Hash', properties: { id: p.blob().columnType('varbinary(8)').primary() } }),
  Cents: defineEntity({ name: 'Cents', properties: { id: p.decimal('number').precision(10).scale(2).primary().autoincrement(false) } }),
  Host: defineEntity({ name: 'Host', properties: { id: p.type('inet6').primary() } }),
  Loose: defineEntity({ name: 'Loose', properties: { id: p.type(LooseType).primary() } }),
  Coded: defineEntity({ name: 'Coded', properties: { id: p.type(CodeType).primary() } }),
  Seat,
  Ticket: defineEntity({
    name: 'Ticket',
    primaryKeys: ['seat', 'day'],
    properties: { seat: () => p.manyToOne(Seat).primary(), day: p.date().primary() }
  }),
  Holder: defineEntity({ name: 'Holder', properties: { seat: () => p.oneToOne(Seat).primary(), name: p.string() } })
}

/** What PostgreSQL calls the types of columns that MikroORM has no name for. */
const IN_POSTGRESQL: Partial<Record<string, string>> = { 'varbinary(8)': 'bytea', inet6: 'inet' }

export function useOwnTypes (meta: EntityMetadata, platform: Platform): void {
  if (platform.getBlobDeclarationSQL() !== 'bytea') return
  for (const prop of Object.values(meta.properties)) {
    const type = IN_POSTGRESQL[prop.columnTypes?.[0] ?? prop.type]
    if (type !== undefined) prop.columnTypes = [type]
  }
}
