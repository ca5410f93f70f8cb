import type { FastifyInstance } from 'fastify'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from '../../order.ts'
import { EntrySchema as Entry } from '../entities.ts'
import { add, addCollision, type Arrive, type OrderRequest } from './handler.ts'

/**
 * Replies that are no JSON.
 * @param payload a large file to be sent
 */
export function addReplyRoutes (app: FastifyInstance, arrive: Arrive, payload: string): void {
  app.post<{ Body: Order }>('/redirect', async (request, reply) => {
    add(request, 1)
    await arrive(request)
    return await reply.redirect('/idle', 303)
  })

  app.post<{ Body: Order }>('/stream', async (request, reply) => {
    for (const part of [1, 2, 3]) add(request, part)
    await arrive(request)
    return await reply.type('text/plain').send(Readable.from(lines(request)))
  })

  // The file is open before the commit is decided on.
  app.post<{ Body: Order }>('/download', async (request, reply) => {
    add(request, 1)
    await arrive(request)
    add(request, 2)
    addCollision(request, 3)
    return await reply.type('application/octet-stream').send(createReadStream(payload, { end: request.body.bytes - 1 }))
  })

  app.post<{ Body: Order }>('/hijack', async (request, reply) => {
    add(request, 1)
    add(request, 2)
    await arrive(request)
    await app.db.commit()
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/plain' })
    reply.raw.end('hijacked')
  })
}

async function * lines (request: OrderRequest): AsyncGenerator<string> {
  yield 'begin\n'
  await sleep(request.body.pause)
  for (const { part } of await request.db.find(Entry, { token: request.id })) yield `${part}\n`
  yield 'end\n'
}
