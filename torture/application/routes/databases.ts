import type { FastifyInstance } from 'fastify'
import type { Order } from '../../order.ts'
import { EntrySchema as Entry, TAKEN } from '../entities.ts'
import { SECOND } from '../messages.ts'
import { add, addCollision, type Arrive } from './handler.ts'

/** A unit of work in two databases, begun in the first. */
export function addDatabaseRoutes (app: FastifyInstance, arrive: Arrive): void {
  app.post<{ Body: Order }>('/both', async request => {
    const { session } = app.db.use(SECOND)
    const token = `${request.id}/${SECOND}`
    add(request, 1)
    await request.db.flush()
    session.create(Entry, { token, part: 1 })
    await arrive(request)
    session.create(Entry, { token, part: 2 })
    add(request, 2)
    // The last flush fails in the one or in the other.
    if (request.body.fails) addCollision(request, 3)
    else if (request.body.collides) session.create(Entry, { token, part: 3, mark: TAKEN })
    return 'in both'
  })
}
