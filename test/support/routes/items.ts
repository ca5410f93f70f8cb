import type { FastifyInstance } from 'fastify'
import { ItemSchema as Item } from '../entities.ts'

/** Routes in a file of their own, for @fastify/autoload to find. */
export default async function items (app: FastifyInstance): Promise<void> {
  app.post<{ Body: { label: string } }>('/items', async request => request.db.create(Item, request.body))

  app.post<{ Body: { label: string } }>('/plain', { config: { db: { commitOnTeardown: false } } }, async request => request.db.create(Item, request.body))

  app.post<{ Body: { label: string } }>('/read-only', { config: { db: { readOnly: true } } }, async request => request.db.create(Item, request.body))

  app.get('/none', { config: { db: false } }, async request => request.db.id)
}
