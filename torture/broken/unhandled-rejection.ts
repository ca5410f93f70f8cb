import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { handWritten } from './hand-written.ts'

/** Has an error at teardown that nobody handles, which ends the process. */
const plugin: FastifyPluginAsync<Parameters<ReturnType<typeof handWritten>>[1]> = async (fastify, options) => {
  await fastify.register(handWritten({}), options)
  let answered = 0
  fastify.addHook('onResponse', async () => {
    if (++answered === 100) void Promise.reject(new Error('nobody handles this'))
  })
}

export default fp(plugin)
