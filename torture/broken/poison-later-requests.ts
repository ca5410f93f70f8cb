import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { handWritten } from './hand-written.ts'

/** Loses its way at some teardown, and refuses every request from then on: each answer is true, and none is of any use. */
const plugin: FastifyPluginAsync<Parameters<ReturnType<typeof handWritten>>[1]> = async (fastify, options) => {
  await fastify.register(handWritten({}), options)
  let answered = 0
  fastify.addHook('onResponse', async () => { answered++ })
  fastify.addHook('onRequest', async () => {
    if (answered > 100) throw new Error('poisoned')
  })
}

export default fp(plugin)
