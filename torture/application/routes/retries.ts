import { LockMode } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import type { Order } from '../../order.ts'
import { CounterSchema as Counter, EntrySchema as Entry } from '../entities.ts'
import type { FromApplication } from '../messages.ts'
import { workAfterwards } from '../work-afterwards.ts'
import { add, type Arrive } from './handler.ts'

/** A unit of work that is done again after a deadlock: one of the database, or one that is made up. */
export function addRetryRoutes (app: FastifyInstance, arrive: Arrive, tell: (message: FromApplication) => void): void {
  const failed = new WeakSet<object>()
  const config = { db: { retry: { attempts: 3, backoff: 10 } }, hasOwnWork: true }

  app.post<{ Body: Order }>('/retry', { config }, async (request, reply) => {
    workAfterwards(app, request, tell)
    add(request, 1)
    await request.db.flush()
    for (const [index, id] of request.body.counters.entries()) {
      const counter = await request.db.findOneOrFail(Counter, id, { lockMode: LockMode.PESSIMISTIC_WRITE })
      counter.value++
      request.db.create(Entry, { token: request.id, part: index + 2, counter: id })
      await arrive(request)
    }
    if (request.body.fails && !failed.has(request)) {
      failed.add(request)
      throw Object.assign(new Error('a deadlock'), { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' })
    }
    return await reply.code(201).send({ written: request.body.counters.length + 1 })
  })
}
