import type { EntityManager, EntityName, FilterQuery, FindOptions, Loaded } from '@mikro-orm/core'
import { NotFoundError } from '../errors/errors.ts'
import { completeOrder } from './order.ts'
import { MAX_PER_PAGE, pageNumber, PER_PAGE } from './page-number.ts'
import { Pagination } from './pagination.ts'

/** What `db.paginate()` takes from a client: nothing else of it is read. */
export interface PageQuery {
  /** Which page, from 1 on; text from a query string will do. Default: 1. */
  page?: number | string | undefined
  /** How many items on a page; text from a query string will do. Default: 20. */
  perPage?: number | string | undefined
}

/** Options of `db.paginate()`: those of `em.find()`, and these. Never put into them what a client sends: parts of them are SQL. */
export interface PaginateOptions<
  Entity, Hint extends string = never, Fields extends string = never, Excludes extends string = never, Count extends boolean = boolean
> extends Omit<FindOptions<Entity, Hint, Fields, Excludes>, 'limit' | 'offset' | 'before' | 'after' | 'first' | 'last' | 'overfetch'> {
  /** What `perPage` is cut down to. Default: 100; `Infinity` for no limit. */
  maxPerPage?: number | undefined
  /** Whether to find out how many items there are on all pages. Default: `true`. */
  count?: Count | undefined
  /** Whether a page that is not there is an empty one, and a malformed number counts as not given, instead of errors. Default: `false`. */
  lenient?: boolean | undefined
}

/** How many items there are: unknown if nobody has counted. */
export type TotalOf<Count extends boolean> = Count extends true ? number : null

/** See {@link Database.paginate}. */
export async function paginate<
  Entity extends object, Hint extends string, Fields extends string, Excludes extends string, Count extends boolean
> (
  em: EntityManager, entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, query: PageQuery,
  options: PaginateOptions<Entity, Hint, Fields, Excludes, Count>
): Promise<Pagination<Loaded<Entity, Hint, Fields, Excludes>, TotalOf<Count>>> {
  const { maxPerPage = MAX_PER_PAGE, count = true, lenient = false, ...others } = options
  const page = pageNumber('page', query.page, 1, lenient)
  const perPage = Math.min(pageNumber('perPage', query.perPage, PER_PAGE, lenient), maxPerPage)
  const offset = (page - 1) * perPage
  // Without a count, one item more tells whether there is a next page.
  const limit = count ? perPage : perPage + 1

  const meta = em.getMetadata(entity)
  const findOptions = { ...others, orderBy: completeOrder(meta, others.orderBy), limit, offset }
  const found = Number.isSafeInteger(offset) ? await em.find<Entity, Hint, Fields, Excludes>(entity, where, findOptions as object) : []
  if (found.length === 0 && page > 1 && !lenient) throw new NotFoundError(`Page ${page} of ${meta.className} not found`)

  const items = found.slice(0, perPage)
  const end = offset + items.length
  // A page that is not full is the last one, and there is nothing to count.
  const isLast = items.length < perPage && (items.length > 0 || page === 1)
  const countAll = async () => isLast ? end : await em.count(entity, where, others as object)
  const total = count ? await countAll() : null
  const hasNext = total === null ? found.length > perPage : end < total
  return new Pagination(items, total as TotalOf<Count>, page, perPage, hasNext)
}
