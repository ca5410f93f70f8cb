import type { FastifyInstance } from 'fastify'
import { ItemSchema as Item } from '../../entities.ts'

/** The folder is the prefix. */
export default async function adminItems (app: FastifyInstance): Promise<void> {
  app.addHook('onSend', async (request, reply) => { if (request.headers['x-late'] !== undefined) reply.code(503) })

  app.post<{ Body: { label: string } }>('/items', {
    config: { db: { sessionOptions: request => ({ loggerContext: { by: request?.method } }) } }
  }, async request => {
    request.db.create(Item, request.body)
    return request.db.getLoggerContext()
  })
}
