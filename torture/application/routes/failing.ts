import { UniqueConstraintViolationException } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from '../../order.ts'
import { EntrySchema as Entry, TAKEN, TAKEN_ID } from '../entities.ts'
import { add, Expected, insert, type Arrive } from './handler.ts'

/** How long the handler of `/late` may take, in milliseconds, which it does not keep to; that of `/limited` ten times as long. */
const HANDLER_TIMEOUT = 100

function ifTaken (error: unknown): void {
  if (!(error instanceof UniqueConstraintViolationException)) throw error
}

/** Handlers that answer 4xx or 5xx, or would after a while, or meet what others answer so. */
export function addFailingRoutes (app: FastifyInstance, arrive: Arrive): void {
  app.post<{ Body: Order }>('/conflict', async (request, reply) => {
    add(request, 1)
    await request.db.flush()
    await arrive(request)
    try {
      await request.db.insert(Entry, { token: request.id, part: 2, mark: TAKEN })
    } catch (error) {
      if (error instanceof UniqueConstraintViolationException) return await reply.code(409).send({ taken: true })
      throw error
    }
    return 'not taken'
  })

  // Where the database takes no statement after one that has failed, this cannot go well, and must not be said to.
  app.post<{ Body: Order }>('/swallow', async request => {
    add(request, 1)
    await request.db.flush()
    await arrive(request)
    await request.db.insert(Entry, { id: TAKEN_ID, token: request.id, part: 2 }).catch(ifTaken)
    if (!request.body.fails) add(request, 3)
    return 'swallowed'
  })

  app.post<{ Body: Order }>('/savepoint', async request => {
    add(request, 1)
    await request.db.transactional(async nested => {
      await arrive(request)
      await nested.insert(Entry, { id: TAKEN_ID, token: request.id, part: 2 })
    }).catch(ifTaken)
    add(request, 3)
    return 'gone on'
  })

  app.post<{ Body: Order }>('/refuse', async (request, reply) => {
    add(request, 1)
    await request.db.flush()
    await arrive(request)
    add(request, 2)
    return await reply.code(422).send({ refused: true })
  })

  app.post<{ Body: Order }>('/throw', async request => {
    add(request, 1)
    await request.db.flush()
    await arrive(request)
    throw new Expected()
  })

  // Statements that are not answered any more end with it.
  app.delete<{ Body: Order }>('/limited', { handlerTimeout: HANDLER_TIMEOUT * 10 }, async request => {
    add(request, 1)
    await request.db.flush()
    await arrive(request)
    for (const part of [2, 3, 4]) {
      await sleep(HANDLER_TIMEOUT / 4)
      await insert(request, part)
    }
    return 'in time'
  })

  app.delete<{ Body: Order }>('/late', { handlerTimeout: HANDLER_TIMEOUT }, async request => {
    add(request, 1)
    await request.db.flush()
    await sleep(HANDLER_TIMEOUT * 1.5)
    // Too late: it has been answered with a 503.
    await request.db.insert(Entry, { token: request.id, part: 2 })
    add(request, 3)
    await request.db.flush()
    return 'late'
  })
}
