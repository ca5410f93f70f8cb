import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'

/** Begins the transaction with what hooks read before the body of the request is there. */
const plugin: FastifyPluginAsync<ScopedDbOptions> = async (fastify, options) => {
  await fastify.register(scopedDb, { ...options, begin: 'statement' })
}

export default fp(plugin)
