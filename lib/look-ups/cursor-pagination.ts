import type { EntityManager, EntityName, FilterQuery, FindOptions, Loaded } from '@mikro-orm/core'
import { InvalidPageError } from '../errors/errors.ts'
import { assertCursor } from './cursor.ts'
import { completeOrder } from './order.ts'
import { MAX_PER_PAGE, pageNumber, PER_PAGE } from './page-number.ts'
import type { TotalOf } from './paginate.ts'

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
  items: Item[]
  /** How many items there are on all pages; `null` without `count: true`. */
  total: Total
  hasNext: boolean
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
  const { maxPerPage = MAX_PER_PAGE, count = false, ...others } = options
  const meta = em.getMetadata(entity)
  const orderBy = completeOrder(meta, others.orderBy)
  for (const [name, cursor] of Object.entries({ after, before })) if (cursor !== undefined) assertCursor(meta, orderBy, name, cursor)

  const findOptions = { ...others, ...sizeOf(first, last, before, maxPerPage), after, before, where, orderBy, includeCount: count }
  const { items, totalCount, hasNextPage, hasPrevPage, startCursor, endCursor } =
    await em.findByCursor<Entity, Hint, Fields, Excludes>(entity, findOptions as object)
  return { items, total: (count ? totalCount : null) as TotalOf<Count>, hasNext: hasNextPage, hasPrev: hasPrevPage, startCursor, endCursor }
}

/** Forwards unless only the way back is asked for. */
function sizeOf (first: unknown, last: unknown, before: unknown, maxPerPage: number): { first: number } | { last: number } {
  if (first !== undefined && last !== undefined) throw new InvalidPageError('last', 'left out where first is given')
  const name = last !== undefined || (first === undefined && before !== undefined) ? 'last' : 'first'
  const size = Math.min(pageNumber(name, first ?? last, PER_PAGE, false), maxPerPage)
  return name === 'last' ? { last: size } : { first: size }
}
