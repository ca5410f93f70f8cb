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
