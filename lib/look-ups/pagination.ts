import { iterPages, type IterPagesOptions } from './iter-pages.ts'

/** What a {@link Pagination} is in JSON, with the items as they serialize themselves. */
export interface PaginationData<Item, Total extends number | null = number | null> {
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

  get hasPrev (): boolean {
    return this.page > 1
  }

  get nextNum (): number | null {
    return this.hasNext ? this.page + 1 : null
  }

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

  [Symbol.iterator] (): Iterator<Item> {
    return this.items.values()
  }

  toJSON (): PaginationData<Item, Total> {
    const { items, total, page, perPage, pages, hasNext, hasPrev, first, last } = this
    return { items, total, page, perPage, pages, hasNext, hasPrev, first, last }
  }
}
