import { Cursor, DateType, DecimalType, types, Uint8ArrayType, UuidType, type EntityMetadata, type EntityProperty, type OrderDefinition } from '@mikro-orm/core'

// What look-ups ask about entities that only MikroORM's classes can tell.

const BUILT_IN = new Set<unknown>(Object.values(types))

/** Whether the application has defined the property's type. */
export function hasOwnType ({ customType }: EntityProperty): boolean {
  return customType !== undefined && !BUILT_IN.has(customType.constructor)
}

export function isUuid ({ customType }: EntityProperty): boolean {
  return customType instanceof UuidType
}

export function isDecimal ({ customType }: EntityProperty): boolean {
  return customType instanceof DecimalType
}

/** A date without a time. */
export function isDay ({ customType }: EntityProperty): boolean {
  return customType instanceof DateType
}

export function isBinary ({ customType }: EntityProperty): boolean {
  return customType instanceof Uint8ArrayType
}

/** What a cursor of a list in this order holds: the names of properties with their directions. */
export function cursorKeys<Entity extends object> (meta: EntityMetadata<Entity>, orderBy: OrderDefinition<Entity>): ReturnType<typeof Cursor.getDefinition<Entity>> {
  return Cursor.getDefinition(meta, orderBy)
}

/**
 * What a cursor holds.
 * @throws what JSON.parse() throws
 */
export function decodeCursor (cursor: string): unknown {
  return Cursor.decode(cursor)
}
