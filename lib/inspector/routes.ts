import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { DatabaseHost } from '../application/database.ts'
import type { InspectorSettings } from '../options/inspector-options.ts'
import { assertAllowed } from './access.ts'
import { assets, type Asset } from './assets.ts'
import type { EventStreams } from './event-streams.ts'
import { explain, isExplainable } from './explain.ts'
import { OWN, type Recorder } from './recorder.ts'
import type { Ring } from './ring.ts'
import { detailOf, FILTERS, listOf, type ViewSettings, type Wanted } from './views.ts'

/** What the routes show. */
export interface Shown {
  readonly ring: Ring
  readonly recorder: Recorder
  readonly streams: EventStreams
  readonly host: DatabaseHost
}

interface OfEntry { Params: { id: number, index: number }, Querystring: { values?: boolean } }

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY'
}

const id = { type: 'integer' }

/** Adds the page and its JSON. */
export function addRoutes (fastify: FastifyInstance, { ring, recorder, streams, host }: Shown, settings: InspectorSettings): void {
  const views: ViewSettings = { slowerThan: settings.slowerThan, isExplainable: statement => isExplainable(host.use(statement.database), statement) }

  fastify.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS)
    assertAllowed(request, settings)
  })

  for (const asset of assets()) {
    if (asset.name === 'index.html') fastify.get('/', own(), (request, reply) => request.url.split('?')[0]?.endsWith('/') === true ? sendAsset(request, reply, asset) : reply.redirect(`${settings.prefix.split('/').at(-1)}/`))
    else fastify.get(`/${asset.name}`, own(), (request, reply) => sendAsset(request, reply, asset))
  }

  fastify.get<{ Querystring: Wanted }>('/requests.json', own({ querystring: { type: 'object', properties: { search: { type: 'string' }, only: { enum: FILTERS } } } }), async ({ query }) => listOf(ring.all, query, views))

  fastify.get<OfEntry>('/requests/:id.json', own({ params: { type: 'object', properties: { id } }, querystring: { type: 'object', properties: { values: { type: 'boolean' } } } }), async ({ params, query }, reply) => {
    const entry = ring.get(params.id)
    return entry === undefined ? await gone(reply) : detailOf(entry, query.values === true, views)
  })

  fastify.post<OfEntry>('/requests/:id/statements/:index/explain', own({ params: { type: 'object', properties: { id, index: id } } }), async ({ params }, reply) => {
    const statement = ring.get(params.id)?.statements[params.index]
    if (statement === undefined) return await gone(reply)
    try {
      return await explain(host.use(statement.database), statement, open => recorder.unseen(open)) ?? await reply.code(422).send({ message: 'There is no plan of this statement' })
    } catch (error) {
      return await reply.code(422).send({ message: (error as Error).message })
    }
  })

  // Below the root it is the application that has not found it.
  if (settings.prefix !== '/') fastify.setNotFoundHandler(own() as object, async (_request, reply) => await reply.code(404).send({ message: 'There is nothing here' }))

  fastify.get('/events', own(), (_request, reply) => { streams.open(reply, HEADERS) })
}

/** Options of a route that is no part of the application. */
function own (schema: object = {}): RouteShorthandOptions {
  // For @fastify/swagger.
  const hidden: object = { hide: true, ...schema }
  return { config: { [OWN]: true } as object, schema: hidden, logLevel: 'warn' }
}

async function gone (reply: FastifyReply): Promise<FastifyReply> {
  return await reply.code(404).send({ message: 'It is not kept any more' })
}

function sendAsset (request: FastifyRequest, reply: FastifyReply, { type, content, etag }: Asset): FastifyReply {
  reply.headers({ 'cache-control': 'no-cache', etag })
  return request.headers['if-none-match'] === etag ? reply.code(304).send() : reply.type(type).send(content)
}
