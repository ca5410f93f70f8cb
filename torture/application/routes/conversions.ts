import type { FastifyInstance } from 'fastify'
import type { Order } from '../../order.ts'
import { EntrySchema as Entry, UNREADABLE } from '../entities.ts'
import { add, type Arrive } from './handler.ts'

/** Values that are converted, or cannot be: on their way into the database, or out of it. */
export function addConversionRoutes (app: FastifyInstance, arrive: Arrive): void {
  app.post<{ Body: Order }>('/convert', async request => {
    const { body: { unconvertible, fails }, db } = request
    add(request, 1)
    await db.flush()
    await arrive(request)
    db.create(Entry, { token: request.id, part: 2, note: unconvertible === 'in' ? { n: 1n } : { n: 1 } })
    // Nobody may take a flush that has failed for one that has not, also where its error is swallowed.
    await db.flush().catch(error => { if (!fails) throw error })
    await db.find(Entry, { token: unconvertible === 'out' ? UNREADABLE : request.id }, { refresh: true })
    add(request, 3)
    return 'converted'
  })
}
