const pages = (description: string) => ({ type: 'integer', minimum: 1, description }) as const
const count = (description: string) => ({ type: 'integer', minimum: 0, description }) as const
const flag = (description: string) => ({ type: 'boolean', description }) as const
const cursor = (description: string) => ({ type: 'string', description }) as const

const maybe = <Schema extends object>(schema: Schema) => ({ ...schema, nullable: true }) as const

const total = maybe(count('How many items there are on all pages'))

/** JSON schema of the query string that `db.paginate()` takes, and of nothing else: Fastify removes other members, or refuses them with `removeAdditional: false`. */
export const pageQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    page: pages('Which page'),
    perPage: pages('How many items on a page')
  }
} as const

/** The same of the query string that `db.paginateByCursor()` takes. */
export const cursorQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    first: pages('How many items, from the beginning or behind `after`'),
    last: pages('How many items, up to the end or ahead of `before`'),
    after: cursor('`endCursor` of the page ahead'),
    before: cursor('`startCursor` of the page behind')
  }
} as const

/**
 * JSON schema of a reply that is one page from `db.paginate()`.
 * @param items JSON schema of one item
 *
 * @example
 * app.get('/users', { schema: { querystring: pageQuerySchema, response: { 200: pageSchema(userSchema) } } }, handler)
 */
export function pageSchema<Items extends object> (items: Items) {
  return {
    type: 'object',
    required: ['items', 'total', 'page', 'perPage', 'pages', 'hasNext', 'hasPrev', 'first', 'last'],
    properties: {
      items: { type: 'array', items },
      total,
      page: pages('The number of this page'),
      perPage: pages('How many items a page has at most'),
      pages: maybe(count('How many pages there are')),
      hasNext: flag('Whether a page comes behind this one'),
      hasPrev: flag('Whether a page comes ahead of this one'),
      first: count('The number of the first item on this page among all items, from 1 on; 0 if there is none'),
      last: count('The number of the last item on this page; 0 if there is none')
    }
  } as const
}

/**
 * JSON schema of a reply that is one page from `db.paginateByCursor()`.
 * @param items JSON schema of one item
 */
export function cursorPageSchema<Items extends object> (items: Items) {
  return {
    type: 'object',
    required: ['items', 'total', 'hasNext', 'hasPrev', 'startCursor', 'endCursor'],
    properties: {
      items: { type: 'array', items },
      total,
      hasNext: flag('Whether a page comes behind this one'),
      hasPrev: flag('Whether a page comes ahead of this one'),
      startCursor: maybe(cursor('What to pass as `before` for the page ahead')),
      endCursor: maybe(cursor('What to pass as `after` for the page behind'))
    }
  } as const
}
