import { defineEntity, p, Type, type EntityMetadata, type EntityProperty, type Platform, type TransformContext } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/mysql'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { InvalidCursorError } from '../../../lib/errors/errors.ts'
import { assertCursor } from '../../../lib/look-ups/cursor-pagination.ts'
import { primaryKeyIs } from '../../../lib/look-ups/primary-key.ts'
import { scalarValue } from '../../../lib/look-ups/scalar-value.ts'
import { LooseType } from '../../support/keyed-entities.ts'

/** A type that is only asked what a value is in a query. */
class QueriedType extends Type<string, string> {
  override convertToDatabaseValue (value: string, _: Platform, context?: TransformContext): string {
    if (context?.mode !== 'query' || context.fromQuery !== true) throw new Error('it is not written')
    return value
  }

  override getColumnType (): string {
    return 'varchar(8)'
  }
}

const Row = defineEntity({
  name: 'Row',
  properties: {
    id: p.integer().primary(),
    signed: p.tinyint(),
    unsigned: p.tinyint().unsigned(),
    wide: p.integer().columnType('int(11)'),
    long: p.bigint(),
    longText: p.bigint('string'),
    longNumber: p.bigint('number'),
    ratio: p.double(),
    price: p.decimal(),
    yes: p.boolean(),
    uuid: p.uuid(),
    uuidColumn: p.string().columnType('uuid'),
    day: p.date(),
    time: p.time(),
    at: p.datetime(),
    bytes: p.uint8array(),
    text: p.string(),
    choice: p.enum(['a', 'b']),
    untyped: p.json(),
    loose: p.type(LooseType),
    queried: p.type(QueriedType)
  }
})

/** One whose key is another's. */
const Twin = defineEntity({ name: 'Twin', properties: { row: () => p.oneToOne(Row).primary() } })

const Note = defineEntity({
  name: 'Note',
  properties: {
    id: p.string().primary(),
    row: () => p.manyToOne(Row),
    more: p.json<{ rank: number | null }>(),
    length: p.integer().formula('length(id)')
  }
})

/** Its server is never asked for anything. */
const orm = await MikroORM.init({ entities: [Row, Twin, Note], dbName: 'none' })

const UUID = '01234567-89ab-cdef-0123-456789ABCDEF'
const NEW_YEAR = new Date('2024-01-01T00:00:00Z')

/** What each property takes, and what it is read as. */
const VALUES: Record<string, { takes: [unknown, unknown][], refuses: unknown[] }> = {
  signed: { takes: [[-128, -128], ['127', 127], [5n, 5]], refuses: [-129, '128', 255, 1.5, '01', '-0', '5x', ' 5', true, null] },
  unsigned: { takes: [[0, 0], ['255', 255]], refuses: [-1, '256'] },
  wide: { takes: [['-5', -5], [2 ** 31 - 1, 2 ** 31 - 1]], refuses: [2 ** 31, '1.5', 1.5] },
  long: { takes: [['9223372036854775807', 9223372036854775807n], [5, 5n]], refuses: ['9223372036854775808', 2 ** 53] },
  longText: { takes: [[5, '5'], ['9007199254740993', '9007199254740993']], refuses: ['x'] },
  longNumber: { takes: [['5', 5]], refuses: ['9007199254740993'] },
  ratio: { takes: [['1.5', 1.5], [-0.5, -0.5]], refuses: ['1.50', '0x1', 'Infinity', Infinity, NaN, 5n, ''] },
  price: { takes: [['12', '12'], ['-12.50', '-12.50'], [1.5, '1.5'], ['1'.repeat(40), '1'.repeat(40)]], refuses: ['1.', '.5', '1'.repeat(41), `0.${'1'.repeat(31)}`, 'x1', '1x', 1e21] },
  yes: { takes: [[false, false]], refuses: ['false', 0] },
  uuid: { takes: [[UUID, UUID]], refuses: [`x${UUID}`, `${UUID}0`, UUID.replace('-', ''), 5] },
  uuidColumn: { takes: [[UUID, UUID]], refuses: [`x${UUID}`, `${UUID}0`] },
  day: { takes: [['2024-02-29', '2024-02-29']], refuses: ['2023-02-29', '2024-1-1', '2024-01-01T00:00', NEW_YEAR] },
  time: { takes: [['23:59:59', '23:59:59'], ['00:00:00.123456', '00:00:00.123456']], refuses: ['12:60:00', '9:00:00', 'x12:00:00', '12:00:00x', '12:00:00.1234567', '12:00:00.x', '12:00'] },
  at: {
    takes: [
      ['2024-01-01', NEW_YEAR], [NEW_YEAR, NEW_YEAR], ['2024-01-01T00:00Z', NEW_YEAR], ['2024-01-01T00:00:00.000000000Z', NEW_YEAR], ['2024-01-01T02:00:00+02:00', NEW_YEAR],
      ['1000-01-01', new Date('1000-01-01')], ['9999-12-31', new Date('9999-12-31')]
    ],
    refuses: ['0999-12-31', new Date('0999-12-31'), new Date('+010000-01-01'), new Date(NaN), '2024-06-31', 'x2024-01-01', '2024-01-01x', '2024-01-01(x)', '2024-01-01T00:00:00.0000000000Z', '2024-01-01T00:00:00.Z', '1', 5]
  },
  bytes: { takes: [], refuses: ['ab', { type: 'Buffer', data: [1] }, 5] },
  text: { takes: [['', ''], ['any', 'any']], refuses: ['\0', 5, NEW_YEAR, null] },
  choice: { takes: [['a', 'a']], refuses: ['c', ''] },
  untyped: { takes: [['any', 'any'], [NEW_YEAR, NEW_YEAR]], refuses: [5, true, null, {}, [], undefined] },
  loose: { takes: [[5, 5], [5n, 5n], [true, true], [false, false], ['a', 'a'], [NEW_YEAR, NEW_YEAR]], refuses: [NaN, Infinity, null, {}, ['a'], new Date(NaN), undefined, Symbol('a'), () => {}, '\0'] },
  queried: { takes: [['a', 'a']], refuses: [] }
}

for (const [name, { takes, refuses }] of Object.entries(VALUES)) {
  void t.test(`what a property takes: ${name}`, t => {
    const prop = orm.getMetadata().get(Row).properties[name as 'id'] as unknown as EntityProperty
    for (const [value, read] of takes) t.strictSame(scalarValue(prop, value), read, inspect(value))
    for (const value of refuses) t.equal(scalarValue(prop, value), undefined, inspect(value))
    t.end()
  })
}

void t.test('bytes are taken as they are', t => {
  const prop = orm.getMetadata().get(Row).properties.bytes as unknown as EntityProperty
  const bytes = Buffer.from('ab')
  t.equal(scalarValue(prop, bytes), bytes)
  t.end()
})

void t.test('the key of a relation is that of its target', t => {
  t.strictSame(primaryKeyIs(orm.getMetadata().get(Twin), '5'), { row: 5 })
  t.equal(primaryKeyIs(orm.getMetadata().get(Twin), 'x'), undefined)
  t.end()
})

const meta = orm.getMetadata().get(Note) as unknown as EntityMetadata<object>

type Order = Parameters<typeof assertCursor<object>>[1]

function accepts (t: Test, order: object, cursor: unknown): void {
  t.doesNotThrow(() => assertCursor(meta, order as Order, 'after', cursor), JSON.stringify(order))
}

function refuses (t: Test, order: object, cursor: unknown): void {
  t.throws(() => assertCursor(meta, order as Order, 'after', cursor), InvalidCursorError, JSON.stringify(order))
}

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

void t.test('a cursor has one value for each property that the list is ordered by', t => {
  accepts(t, { id: 'asc' }, encoded(['any']))
  for (const cursor of [encoded('any'), encoded({ 0: 'any' }), encoded([]), encoded(['any', 'any']), encoded([5]), '%', 5]) refuses(t, { id: 'asc' }, cursor)
  accepts(t, { length: 'asc' }, encoded([null]))
  refuses(t, { id: 'asc' }, encoded([null]))
  accepts(t, { row: { text: 'asc', unsigned: 'asc' } }, encoded([{ text: 'any', unsigned: 5 }]))
  for (const value of [{ text: 'any', unsigned: -1 }, { text: 5, unsigned: 5 }, { text: 'any' }, 'any', 5]) refuses(t, { row: { text: 'asc', unsigned: 'asc' } }, encoded([value]))
  for (const rank of [null, 5, 'any', true]) accepts(t, { more: { rank: 'asc' } }, encoded([{ rank }]))
  for (const rank of [{ $ne: 1 }, [1]]) refuses(t, { more: { rank: 'asc' } }, encoded([{ rank }]))
  refuses(t, { more: { rank: 'asc' } }, encoded([{}]))
  t.end()
})
