import type { EntityMetadata, EntityProperty, OrderDefinition, Platform, Type } from '@mikro-orm/core'
import { isPlainObject } from '../options/validate.ts'
import { InvalidCursorError } from '../errors/errors.ts'
import { cursorKeys, decodeCursor, hasOwnType } from '../session/metadata.ts'
import { propertyValue } from './primary-key.ts'
import { asItsTypeTakes } from './scalar-value.ts'

/**
 * Refuses what cannot be a cursor of a list in this order. MikroORM reads cursors for what they are worth: one with the wrong
 * number of values is the first page to it, and the values go to the database unseen.
 * @throws FST_SCOPED_DB_INVALID_CURSOR
 */
export function assertCursor<Entity extends object> (
  meta: EntityMetadata<Entity>, orderBy: OrderDefinition<Entity>, name: string, cursor: unknown
): void {
  const keys = cursorKeys(meta, orderBy)
  const values = decode(cursor)
  const isValid = values.length === keys.length && keys.every(([key, direction], index) => isValue(meta.properties[key], direction, values[index]))
  if (!isValid) throw new InvalidCursorError(name)
}

function decode (cursor: unknown): unknown[] {
  try {
    const values: unknown = decodeCursor(cursor as string)
    return Array.isArray(values) ? values : []
  } catch {
    return []
  }
}

/** Whether a row can have this value, as it is in JSON, where the list is ordered by it. */
function isValue (prop: EntityProperty | undefined, direction: unknown, value: unknown): boolean {
  if (prop === undefined) return isValueInJson(value)
  if (value === null) return prop.nullable === true || prop.formula !== undefined
  if (isPlainObject(direction)) return areValues(prop, direction as object, value)
  return (hasOwnType(prop) ? restored(prop, value) : propertyValue(prop, value)) !== undefined
}

/** The same of an order by properties of a relation, an embedded object or a JSON column. */
function areValues ({ targetMeta }: EntityProperty, directions: object, values: unknown): boolean {
  const props: Partial<Record<string, EntityProperty>> = targetMeta?.properties ?? {}
  if (!isPlainObject(values)) return false
  return Object.entries(directions).every(([key, direction]) => isValue(props[key], direction, (values as Record<string, unknown>)[key]))
}

/** In a JSON column no property says what there can be. */
function isValueInJson (value: unknown): boolean {
  return value !== undefined && (value === null || typeof value !== 'object')
}

/** What MikroORM will make of it with the application's own type. */
function restored (prop: EntityProperty, value: unknown): unknown {
  const type = prop.customType as Type<unknown>
  const platform = type.platform as Platform
  try {
    return asItsTypeTakes(prop, type.fromJSON === undefined ? type.convertToJSValue(value, platform) : type.fromJSON(value, platform))
  } catch {
    return undefined
  }
}
