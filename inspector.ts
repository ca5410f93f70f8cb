import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { inspect } from './lib/inspector/inspect.ts'
import type { InspectorOptions } from './lib/options/inspector-options.ts'

export type { InspectorOptions } from './lib/options/inspector-options.ts'

const inspector: FastifyPluginAsync<InspectorOptions> = async (fastify, options) => { inspect(fastify, options) }

/**
 * A page that shows the last requests and `db.run()`s of an application, with their statements: for development. See docs/observability.md.
 *
 * @throws FST_SCOPED_DB_NOT_REGISTERED when the application has no database yet
 * @throws FST_SCOPED_DB_INSPECTOR_IN_PRODUCTION when `NODE_ENV` is `production` and nothing says who may see it
 *
 * @example
 * if (process.env.NODE_ENV !== 'production') await app.register(inspector) // http://localhost:3000/_db
 */
export default fp(inspector, {
  fastify: '5.x',
  name: 'fastify-scoped-db-inspector'
})
