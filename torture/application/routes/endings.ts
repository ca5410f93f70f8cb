import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from '../../order.ts'
import { add, Expected, insert, type Arrive, type OrderRequest } from './handler.ts'

/** Handlers whose end is not that of a native promise. Each writes a first half before it is left, and a second one after. */
export function addEndingRoutes (app: FastifyInstance, arrive: Arrive): void {
  async function firstHalf (request: OrderRequest): Promise<void> {
    await insert(request, 1)
    await arrive(request)
  }

  async function secondHalf (request: OrderRequest): Promise<string> {
    await insert(request, 2)
    if (request.body.fails) throw new Expected()
    add(request, 3)
    return 'both halves'
  }

  // Settles at once, or when its client leaves: long before the reply is sent.
  app.post<{ Body: Order }>('/return-reply', async (request, reply) => {
    await firstHalf(request)
    setTimeout(() => { secondHalf(request).then(text => reply.send(text), (error: Error) => reply.send(error)) }, 5)
    return reply
  })

  app.post<{ Body: Order }>('/callbacks', (request, reply) => {
    firstHalf(request).then(async () => await secondHalf(request)).then(text => reply.send(text), (error: Error) => reply.send(error))
  })

  app.post<{ Body: Order }>('/thenable', request => {
    let work: Promise<string> | undefined
    return {
      then (resolve: (text: string) => unknown, reject: (error: unknown) => unknown) {
        work ??= firstHalf(request).then(async () => await secondHalf(request))
        return work.then(resolve, reject)
      }
    }
  })

  // Too late, whoever of them it is: the other reply is under way.
  app.post<{ Body: Order }>('/send-twice', async (request, reply) => {
    await firstHalf(request)
    add(request, 2)
    void reply.send('sent first')
    if (request.body.fails) await sleep(1)
    void reply.code(500).send('sent again')
    return reply
  })
}
