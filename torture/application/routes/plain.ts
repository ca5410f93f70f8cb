import type { FastifyInstance } from 'fastify'
import type { Order } from '../../order.ts'
import { EntrySchema as Entry } from '../entities.ts'
import type { FromApplication } from '../messages.ts'
import { workAfterwards } from '../work-afterwards.ts'
import { add, addCollision, Expected, ifExpected, type Arrive } from './handler.ts'

/** What most handlers do. */
export function addPlainRoutes (app: FastifyInstance, arrive: Arrive, tell: (message: FromApplication) => void): void {
  const session = app.db.session

  app.post<{ Body: Order }>('/insert', async (request, reply) => {
    add(request, 1)
    await arrive(request)
    session.create(Entry, { token: request.id, part: 2 })
    addCollision(request, 3)
    return await reply.code(201).send({ written: 2 })
  })

  app.post<{ Body: Order }>('/hold', async (request, reply) => {
    add(request, 1)
    await request.db.flush()
    await arrive(request)
    return await reply.code(201).send({ written: 1 })
  })

  app.post<{ Body: Order }>('/flush', async request => {
    add(request, 1)
    await request.db.flush()
    const [entry] = await request.db.find(Entry, { token: request.id })
    await arrive(request)
    add(request, 2)
    await request.db.flush()
    add(request, 3)
    return entry
  })

  app.post<{ Body: Order }>('/nest', async request => {
    add(request, 1)
    let isRegistered = false
    await request.db.transactional(async nested => {
      workAfterwards(app, request, tell)
      isRegistered = true
      nested.create(Entry, { token: request.id, part: 2 })
      await nested.flush()
      await arrive(request)
      if (request.body.fails) throw new Expected()
    }).catch(error => {
      if (isRegistered) tell({ type: 'work', token: request.id, work: 'takenBack' })
      ifExpected(error)
    })
    add(request, 3)
    return 'nested'
  })

  app.post<{ Body: Order }>('/run', async (request, reply) => {
    add(request, 1)
    await app.db.run(session => {
      for (const part of [1, 2]) session.create(Entry, { token: `${request.id}/run`, part })
    }, { commitOnTeardown: true })
    reply.header('x-run', 'committed')
    await arrive(request)
    if (request.body.fails) throw new Expected()
    add(request, 2)
    return 'ran'
  })
}
