import type { EntityManager, EntityName, FilterQuery, FindOptions, Loaded } from '@mikro-orm/core'
import { InvalidPageError, NotFoundError } from '../errors/errors.ts'
import { completeOrder } from './primary-key.ts'

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

/** How many page numbers `iterPages()` gives. */
export interface IterPagesOptions {
  /** From the first page on. Default: 2. */
  leftEdge?: number
  /** Before the current page. Default: 2. */
  leftCurrent?: number
  /** After the current page. Default: 4. */
  rightCurrent?: number
  /** Up to the last page. Default: 2. */
  rightEdge?: number
}

/** What a {@link Pagination} is in JSON, with the items as they serialize themselves. Its members are those of the same name. */
interface PaginationData<Item, Total extends number | null = number | null> {
  items: Item[]
  total: Total
  page: number
  perPage: number
  pages: Total
  hasNext: boolean
  hasPrev: boolean
  first: number
  last: number
}

/**
 * One page of a list, from `db.paginate()`. A handler can return it: it becomes JSON by itself, with a response schema too.
 *
 * The idea, and what the members are called, is Flask-SQLAlchemy's `Pagination`.
 */
export class Pagination<Item, Total extends number | null = number> implements Iterable<Item> {
  /** What is on this page. Iterating over the object does the same. */
  readonly items: Item[]
  /** How many items there are on all pages; `null` with `count: false`. */
  readonly total: Total
  /** The number of this page, from 1 on. */
  readonly page: number
  /** How many items a page has at most. */
  readonly perPage: number
  /** Whether a page comes behind this one. */
  readonly hasNext: boolean

  /** @internal Made by `db.paginate()`. */
  constructor (items: Item[], total: Total, page: number, perPage: number, hasNext: boolean) {
    this.items = items
    this.total = total
    this.page = page
    this.perPage = perPage
    this.hasNext = hasNext
  }

  /** How many pages there are; `null` with `count: false`. */
  get pages (): Total {
    return (this.total === null ? null : Math.ceil(this.total / this.perPage)) as Total
  }

  /** Whether a page comes ahead of this one. */
  get hasPrev (): boolean {
    return this.page > 1
  }

  /** The number of the page behind this one; `null` if there is none. */
  get nextNum (): number | null {
    return this.hasNext ? this.page + 1 : null
  }

  /** The number of the page ahead of this one; `null` if there is none. */
  get prevNum (): number | null {
    return this.hasPrev ? this.page - 1 : null
  }

  /** The number of the first item on this page among all items, from 1 on; 0 if there is none. */
  get first (): number {
    return this.items.length === 0 ? 0 : (this.page - 1) * this.perPage + 1
  }

  /** The number of the last item on this page; 0 if there is none. */
  get last (): number {
    return Math.max(0, this.first + this.items.length - 1)
  }

  /**
   * The page numbers for links to pages, with `null` where some are left out. Nothing with `count: false`.
   *
   * @example
   * [...pagination.iterPages()] // on page 7 of 20: 1, 2, null, 5, 6, 7, 8, 9, 10, 11, null, 19, 20
   */
  iterPages (options?: IterPagesOptions): Iterable<number | null> {
    return iterPages(this.page, this.pages ?? 0, options)
  }

  /** The items of this page. */
  [Symbol.iterator] (): Iterator<Item> {
    return this.items.values()
  }

  /** What `JSON.stringify()` and Fastify make of it. */
  toJSON (): PaginationData<Item, Total> {
    const { items, total, page, perPage, pages, hasNext, hasPrev, first, last } = this
    return { items, total, page, perPage, pages, hasNext, hasPrev, first, last }
  }
}

/** See {@link Database.paginate}. */
export async function paginate<
  Entity extends object, Hint extends string, Fields extends string, Excludes extends string, Count extends boolean
> (
  em: EntityManager, entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, query: PageQuery,
  options: PaginateOptions<Entity, Hint, Fields, Excludes, Count>
): Promise<Pagination<Loaded<Entity, Hint, Fields, Excludes>, TotalOf<Count>>> {
  const { maxPerPage, count = true, lenient = false, ...others } = options
  const page = pageNumber('page', query.page, 1, lenient)
  const perPage = pageSize('perPage', query.perPage, maxPerPage, lenient)
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

/**
 * How many items a page has, of the number that a client has sent: 20 if it has sent none.
 * @param max what is too much is cut down to it
 * @param lenient whether what is malformed counts as not given
 * @throws FST_SCOPED_DB_INVALID_PAGE
 */
export function pageSize (name: string, given: unknown, max = 100, lenient = false): number {
  return Math.min(pageNumber(name, given, 20, lenient), max)
}

/** A number from a query string, from 1 on. One that is too large for a number is as large as they get: there is no such page. */
function pageNumber (name: string, given: unknown, fallback: number, lenient: boolean): number {
  if (given === undefined) return fallback
  const number = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : given
  if (isPageNumber(number)) return Math.min(number, Number.MAX_SAFE_INTEGER)
  if (lenient) return fallback
  throw new InvalidPageError(name, 'a whole number from 1 on')
}

function isPageNumber (value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && (Number.isInteger(value) || value === Infinity)
}

/** See {@link Pagination.iterPages}. A page behind the last one counts as the last. */
export function * iterPages (page: number, pages: number, options: IterPagesOptions = {}): Generator<number | null, void, undefined> {
  const { leftEdge = 2, leftCurrent = 2, rightCurrent = 4, rightEdge = 2 } = options
  const current = Math.min(page, pages)
  const ranges: [number, number][] = [[1, leftEdge], [current - leftCurrent, current + rightCurrent], [pages - rightEdge + 1, pages]]
  let next = 1
  for (const [start, end] of ranges.sort(([one], [other]) => one - other)) {
    const from = Math.max(start, next)
    const to = Math.min(end, pages)
    if (from > to) continue
    if (from > next) yield null
    for (let number = from; number <= to; number++) yield number
    next = to + 1
  }
  if (next <= pages) yield null
}
