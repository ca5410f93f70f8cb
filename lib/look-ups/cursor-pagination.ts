import type { EntityManager, EntityMetadata, EntityName, EntityProperty, FilterQuery, FindOptions, Loaded, OrderDefinition, Platform, Type } from '@mikro-orm/core'
import { InvalidCursorError, InvalidPageError } from '../errors/errors.ts'
import { isPlainObject } from '../options/validate.ts'
import { cursorKeys, decodeCursor, hasOwnType } from '../session/metadata.ts'
import { pageSize, type TotalOf } from './pagination.ts'
import { completeOrder, propertyValue } from './primary-key.ts'
import { asItsTypeTakes } from './scalar-value.ts'

/** What `db.paginateByCursor()` takes from a client: nothing else of it is read. */
export interface CursorQuery {
  /** How many items, from the beginning or from `after` on; text from a query string will do. Default: 20. */
  first?: number | string | undefined
  /** How many items, up to the end or to `before`; instead of `first`. Default, if there is a `before`: 20. */
  last?: number | string | undefined
  /** The `endCursor` of a page: what comes behind it. */
  after?: string | undefined
  /** The `startCursor` of a page: what comes ahead of it. */
  before?: string | undefined
}

/** Options of `db.paginateByCursor()`: those of `em.find()`, and these. Never put into them what a client sends: parts of them are SQL. */
export interface CursorOptions<
  Entity, Hint extends string = never, Fields extends string = never, Excludes extends string = never, Count extends boolean = boolean
> extends Omit<FindOptions<Entity, Hint, Fields, Excludes>, 'limit' | 'offset' | 'before' | 'after' | 'first' | 'last' | 'overfetch'> {
  /** What `first` and `last` are cut down to. Default: 100; `Infinity` for no limit. */
  maxPerPage?: number | undefined
  /** Whether to find out how many items there are on all pages. Default: `false`. */
  count?: Count | undefined
}

/** One page of a list, from `db.paginateByCursor()`: plain data, for a handler to return. */
export interface CursorPage<Item, Total extends number | null = null> {
  /** What is on this page. */
  items: Item[]
  /** How many items there are on all pages; `null` without `count: true`. */
  total: Total
  /** Whether items come behind this page. */
  hasNext: boolean
  /** Whether items come ahead of this page. */
  hasPrev: boolean
  /** What to pass as `before` for the page ahead of this one; `null` if this one is empty. */
  startCursor: string | null
  /** What to pass as `after` for the page behind this one; `null` if this one is empty. */
  endCursor: string | null
}

/** See {@link Database.paginateByCursor}. */
export async function paginateByCursor<
  Entity extends object, Hint extends string, Fields extends string, Excludes extends string, Count extends boolean
> (
  em: EntityManager, entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, query: CursorQuery,
  options: CursorOptions<Entity, Hint, Fields, Excludes, Count>
): Promise<CursorPage<Loaded<Entity, Hint, Fields, Excludes>, TotalOf<Count>>> {
  const { first, last, after, before } = query
  const { maxPerPage, count = false, ...others } = options
  const meta = em.getMetadata(entity)
  const orderBy = completeOrder(meta, others.orderBy)
  for (const [name, cursor] of Object.entries({ after, before })) if (cursor !== undefined) assertCursor(meta, orderBy, name, cursor)

  const findOptions = { ...others, ...sizeOf(first, last, before, maxPerPage), after, before, where, orderBy, includeCount: count }
  const { items, totalCount, hasNextPage, hasPrevPage, startCursor, endCursor } =
    await em.findByCursor<Entity, Hint, Fields, Excludes>(entity, findOptions as object)
  return { items, total: (count ? totalCount : null) as TotalOf<Count>, hasNext: hasNextPage, hasPrev: hasPrevPage, startCursor, endCursor }
}

/** Forwards unless only the way back is asked for. */
function sizeOf (first: unknown, last: unknown, before: unknown, maxPerPage: number | undefined): { first: number } | { last: number } {
  if (first !== undefined && last !== undefined) throw new InvalidPageError('last', 'left out where first is given')
  const name = last !== undefined || (first === undefined && before !== undefined) ? 'last' : 'first'
  const size = pageSize(name, first ?? last, maxPerPage)
  return name === 'last' ? { last: size } : { first: size }
}

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
