import { MikroORM } from '@mikro-orm/sqlite'
import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import scopedDb, { db } from '../../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../../support/entities.ts'

/** An application for processes of their own: its database is the file that DATABASE names. */
export default async function items (app: FastifyInstance, _options: object): Promise<void> {
  const orm = await MikroORM.init({ entities: [Item, Part], dbName: process.env['DATABASE'] ?? 'none' })
  app.addHook('onClose', async () => { await orm.close() })
  await app.register(scopedDb, { orm, commitOnTeardown: true })

  app.post<{ Body: { label: string, wait?: number, status?: number } }>('/items', async (request, reply) => {
    const { label, wait = 0, status = 201 } = request.body
    await db.session.insert(Item, { label })
    if (label === 'killed') process.kill(process.pid, 'SIGKILL')
    if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
    return await reply.code(status).send({ worker: cluster.worker?.id })
  })
}
