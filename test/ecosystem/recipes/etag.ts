import type { FastifyInstance } from 'fastify'

/** What was refused stays so, although the client knows that answer already. To be called before etag is registered. */
export function neverRefusedAs304 (app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply) => {
    if (reply.statusCode >= 400) delete request.headers['if-none-match']
  })
}
