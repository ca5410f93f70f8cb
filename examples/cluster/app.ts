import { LockMode } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { Article, Order } from './entities.ts'

const body = { type: 'object', required: ['key', 'article'], properties: { key: { type: 'string', minLength: 1 }, article: { type: 'integer' } } }

/** What each process runs. */
export async function buildApp (orm: NonNullable<ScopedDbOptions['orm']>): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, mapErrors: true, acquireTimeout: 2_000 })

  // A connection that is busy when the process is told to end would be kept for another request.
  let isEnding = false
  app.addHook('preClose', async () => { isEnding = true })
  app.addHook('onSend', async (_, reply) => {
    reply.header('x-process', process.pid)
    if (isEnding) reply.header('connection', 'close')
  })

  // Another node may have changed the row: then COMMIT says so, and the handler runs again.
  const config = { db: { retry: { attempts: 10, backoff: 20 } } }
  app.post<{ Body: { key: string, article: number } }>('/orders', { schema: { body }, config }, async (request, reply) => {
    const article = await request.db.findOneOrFail(Article, request.body.article, { lockMode: LockMode.PESSIMISTIC_WRITE })
    article.sold++
    reply.code(201)
    return request.db.create(Order, { key: request.body.key, article })
  })
  return app
}
