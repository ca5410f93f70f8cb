import { LockMode, raw } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import type { Order } from '../../order.ts'
import { CounterSchema as Counter, EntrySchema as Entry } from '../entities.ts'
import type { Arrive } from './handler.ts'

/** Rows that many want at once. */
export function addCounterRoutes (app: FastifyInstance, arrive: Arrive): void {
  app.post<{ Body: Order }>('/update', async request => {
    const [counter = 1] = request.body.counters
    request.db.create(Entry, { token: request.id, part: 1, counter })
    await request.db.nativeUpdate(Counter, counter, { value: raw<number>('value + 1') })
    await arrive(request)
    return 'updated'
  })

  // Two requests that lock the same counters in another order end in a deadlock.
  app.post<{ Body: Order }>('/read-modify-write', async request => {
    for (const [index, id] of request.body.counters.entries()) {
      const counter = await request.db.findOneOrFail(Counter, id, { lockMode: LockMode.PESSIMISTIC_WRITE })
      counter.value++
      request.db.create(Entry, { token: request.id, part: index + 1, counter: id })
      await arrive(request)
    }
    return 'modified'
  })
}
