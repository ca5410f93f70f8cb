import type { EntityProperty, Platform } from '@mikro-orm/core'
import { isPlainObject } from '../options/validate.ts'
import { hasOwnType, isBinary, isDay, isDecimal, isUuid } from '../session/metadata.ts'

/**
 * What a value that came with a request means as a value of a property: what to compare its column with, or `undefined` if no
 * row can have it. Databases do not leave that at "no row": some take 'abc' for 0 and '1abc' for 1, others answer with an error.
 */
export function scalarValue (prop: EntityProperty, value: unknown): unknown {
  const read = READERS.find(([reads]) => reads(prop))?.[1] ?? asTextOrObject
  const found = read(prop, value)
  return prop.items === undefined || prop.items.includes(found as string) ? found : undefined
}

type Reader = (prop: EntityProperty, value: unknown) => unknown

/** The first whose condition holds reads the value. */
const READERS: [(prop: EntityProperty) => boolean, Reader][] = [
  [hasOwnType, asItsTypeTakes],
  [prop => prop.runtimeType === 'boolean', (_, value) => typeof value === 'boolean' ? value : undefined],
  [prop => bitsOf(prop) !== undefined, asInteger],
  [prop => isUuid(prop) || columnOf(prop) === 'uuid', asText(/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i)],
  [isDecimal, asDecimal],
  [isDay, asDay],
  [prop => columnOf(prop) === 'time', asText(/^\d\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?$/)],
  [prop => prop.runtimeType === 'Date', asInstant],
  [prop => prop.runtimeType === 'number', asNumber],
  [isBinary, (_, value) => value instanceof Uint8Array ? value : undefined],
  [prop => prop.runtimeType === 'string', asText(/^/)]
]

/** The sizes of integers by their SQL types. Where `integer` is the name of the type it has all sizes in one. */
const BITS: Partial<Record<string, number>> = {
  tinyint: 8, smallint: 16, smallserial: 16, mediumint: 24, int: 32, serial: 32, integer: 64, bigint: 64, bigserial: 64
}

/** The type of its column, without length and the like. */
function columnOf ({ columnTypes }: EntityProperty): string {
  return String(columnTypes[0]).replace(/\W.*/, '')
}

function bitsOf (prop: EntityProperty): number | undefined {
  return BITS[columnOf(prop)]
}

function asInteger (prop: EntityProperty, value: unknown): unknown {
  const whole = wholeNumber(value)
  const fit = prop.unsigned === true ? BigInt.asUintN : BigInt.asIntN
  if (whole === undefined || fit(bitsOf(prop) as number, whole) !== whole) return undefined
  if (prop.runtimeType === 'bigint') return whole
  if (prop.runtimeType === 'string') return String(whole)
  return Number.isSafeInteger(Number(whole)) ? Number(whole) : undefined
}

function wholeNumber (value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
  return typeof value === 'string' && /^(?:0|-?[1-9]\d{0,19})$/.test(value) ? BigInt(value) : undefined
}

function asNumber (_: EntityProperty, value: unknown): number | undefined {
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && (number === value || String(number) === value) ? number : undefined
}

function asText (pattern: RegExp): Reader {
  return (prop, value) => typeof value === 'string' && pattern.test(value) ? asItsTypeTakes(prop, value) : undefined
}

function asDecimal (prop: EntityProperty, value: unknown): unknown {
  return asText(/^-?\d{1,40}(?:\.\d{1,30})?$/)(prop, typeof value === 'number' ? String(value) : value)
}

/** A day as `YYYY-MM-DD`. */
function asDay (prop: EntityProperty, value: unknown): string | undefined {
  return typeof value === 'string' && value.length === 10 && asInstant(prop, value) !== undefined ? value : undefined
}

/** As ISO 8601 has it, and in the years that every database knows. JavaScript takes more, such as '1' and the 31st of June. */
function asInstant (_: EntityProperty, value: unknown): Date | undefined {
  const date = value instanceof Date ? value : new Date(isIsoDate(value) ? value : Number.NaN)
  return date.getUTCFullYear() >= 1000 && date.getUTCFullYear() <= 9999 ? date : undefined
}

function isIsoDate (value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(value)) return false
  const day = new Date(`${value.slice(0, 10)}T00:00Z`)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(value.slice(0, 10))
}

/** Where nothing is known of the type. An object can be MongoDB's `ObjectId`. */
function asTextOrObject (prop: EntityProperty, value: unknown): unknown {
  return typeof value === 'string' || typeof value === 'object' ? asItsTypeTakes(prop, value) : undefined
}

/** Any single value that the property's type converts without an error. */
export function asItsTypeTakes ({ customType }: EntityProperty, value: unknown): unknown {
  if (!isSingleValue(value)) return undefined
  try {
    customType?.convertToDatabaseValue(value, customType.platform as Platform, { mode: 'query', fromQuery: true })
    return value
  } catch {
    return undefined
  }
}

/** Objects that JSON makes could be operators (`{ $ne: null }`); NaN would be the name of a column; no database has NUL in its text. */
function isSingleValue (value: unknown): boolean {
  switch (typeof value) {
    case 'string': return !value.includes('\0')
    case 'number': return Number.isFinite(value)
    case 'object': return value !== null && !Array.isArray(value) && !isPlainObject(value) && !Number.isNaN(value.valueOf())
    default: return typeof value === 'bigint' || typeof value === 'boolean'
  }
}
