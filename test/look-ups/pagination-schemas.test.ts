import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { FastifyInstance } from 'fastify'
import { cursorPageSchema, cursorQuerySchema, db, pageQuerySchema, pageSchema, type CursorQuery, type PageQuery } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const itemSchema = { type: 'object', properties: { id: { type: 'integer' }, label: { type: 'string' } } } as const

async function addItems (app: FastifyInstance, count: number): Promise<void> {
  await app.db.run(async session => await session.insertMany(Item, Array.from({ length: count }, (_, index) => ({ id: index + 1, label: `item ${index + 1}`, amount: 7 }))))
}

/** Lists of items, with schemas and without. */
function addRoutes (app: FastifyInstance): void {
  app.get('/pages', async request => await db.paginate(Item, {}, request.query as PageQuery))
  app.get('/cursors', async request => await db.paginateByCursor(Item, {}, request.query as CursorQuery))
  const paged = { querystring: pageQuerySchema, response: { 200: pageSchema(itemSchema) } }
  app.get<{ Querystring: PageQuery }>('/schema/pages', { schema: paged }, async request => await db.paginate(Item, {}, request.query))
  app.get<{ Querystring: PageQuery }>('/schema/uncounted', { schema: paged }, async request => await db.paginate(Item, {}, request.query, { count: false }))
  const byCursor = { querystring: cursorQuerySchema, response: { 200: cursorPageSchema(itemSchema) } }
  app.get<{ Querystring: CursorQuery }>('/schema/cursors', { schema: byCursor }, async request => await db.paginateByCursor(Item, {}, request.query))
}

async function get ({ app }: Stage, url: string): Promise<unknown> {
  return (await app.inject(url)).json()
}

onEachDatabase('a handler can return a page, with a schema and without', {}, async (t, stage) => {
  addRoutes(stage.app)
  await addItems(stage.app, 5)
  const numbers = { total: 5, page: 2, perPage: 2, pages: 3, hasNext: true, hasPrev: true, first: 3, last: 4 }
  t.same(await get(stage, '/pages?page=2&perPage=2'), { items: [{ id: 3, label: 'item 3', amount: 7 }, { id: 4, label: 'item 4', amount: 7 }], ...numbers })
  t.same(await get(stage, '/schema/pages?page=2&perPage=2'), { items: [{ id: 3, label: 'item 3' }, { id: 4, label: 'item 4' }], ...numbers })
  t.same(await get(stage, '/schema/uncounted?page=2&perPage=2'), { items: [{ id: 3, label: 'item 3' }, { id: 4, label: 'item 4' }], ...numbers, total: null, pages: null })
  const cursors = { total: null, hasNext: true, hasPrev: false, startCursor: 'WzFd', endCursor: 'WzFd' }
  t.same(await get(stage, '/cursors?first=1'), { items: [{ id: 1, label: 'item 1', amount: 7 }], ...cursors })
  t.same(await get(stage, '/schema/cursors?first=1'), { items: [{ id: 1, label: 'item 1' }], ...cursors })
  t.match(await get(stage, '/schema/cursors?last=1&before=WzNd'), { items: [{ id: 2 }] })
  t.same(await get(stage, '/schema/cursors?after=WzVd'), { items: [], total: null, hasNext: false, hasPrev: true, startCursor: null, endCursor: null })
})

onEachDatabase('Fastify refuses a query string that the schema does not allow', {}, async (t, stage) => {
  addRoutes(stage.app)
  for (const query of ['pages?page=0', 'pages?page=x', 'pages?perPage=-1', 'pages?perPage=1.5', 'cursors?first=0', 'cursors?last=x']) {
    t.match(await get(stage, `/schema/${query}`), { statusCode: 400, code: 'FST_ERR_VALIDATION' }, query)
  }
  t.match(await get(stage, '/schema/pages?page=1e300'), { statusCode: 404, code: 'FST_SCOPED_DB_NOT_FOUND' })
  t.match(await get(stage, '/schema/cursors?after=x'), { statusCode: 400, code: 'FST_SCOPED_DB_INVALID_CURSOR' })
})

const maybe = (type: string, openapi: string) => openapi.startsWith('3.0') ? { type, nullable: true } : { type: [type, 'null'] }

for (const openapi of ['3.0.3', '3.1.0']) {
  onEachDatabase(`@fastify/swagger shows the schemas in OpenAPI ${openapi}`, { kinds: ['sqlite'] }, async (t, { app }) => {
    await app.register(swagger, { openapi: { openapi, info: { title: 'Items', version: '1.0.0' } } })
    await app.register(async app => addRoutes(app))
    await app.ready()
    const document = app.swagger()
    t.same(await new Validator().validate(JSON.parse(JSON.stringify(document)) as Record<string, unknown>), { valid: true })
    t.match(document, {
      paths: {
        '/schema/pages': {
          get: {
            parameters: [
              { name: 'page', in: 'query', required: false, schema: { type: 'integer', minimum: 1 }, description: 'Which page' },
              { name: 'perPage', in: 'query', required: false, schema: { type: 'integer', minimum: 1 } }
            ],
            responses: { 200: { content: { 'application/json': { schema: { properties: { items: { type: 'array', items: itemSchema }, total: maybe('integer', openapi) } } } } } }
          }
        },
        '/schema/cursors': {
          get: {
            parameters: ['first', 'last', 'after', 'before'].map(name => ({ name, in: 'query' })),
            responses: { 200: { content: { 'application/json': { schema: { properties: { items: { items: itemSchema }, endCursor: maybe('string', openapi) } } } } } }
          }
        }
      }
    })
  })
}
