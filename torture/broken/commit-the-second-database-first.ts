import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'

/** Commits the second database by itself, before it is known whether the first will. */
const plugin: FastifyPluginAsync<ScopedDbOptions> = async (fastify, options) => {
  const { name } = options
  await fastify.register(scopedDb, name === undefined ? options : { ...options, commitOnTeardown: false })
  if (name === undefined) return
  fastify.addHook('onSend', async (_request, reply) => {
    const database = fastify.db.use(name)
    if (reply.statusCode < 400 && database.hasSession()) await database.session.flush()
  })
}

export default fp(plugin)
