import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from '../../order.ts'
import { CounterSchema as Counter, EntrySchema as Entry } from '../entities.ts'
import type { FromApplication } from '../messages.ts'
import { add, Expected, insert, tellStage, type Arrive } from './handler.ts'

/** How long the check of a login takes, in milliseconds. */
const LOGIN = 10

/** Routes whose hooks use the session, too. */
export function addHookRoutes (app: FastifyInstance, arrive: Arrive, tell: (message: FromApplication) => void): void {
  // Every kind of hook writes or reads. What is written after an error must not stay.
  app.post<{ Body: Order }>('/hooks', {
    onRequest: async request => { await insert(request, 1) },
    preParsing: async request => { add(request, 2) },
    preValidation: async request => { await insert(request, 3) },
    preHandler: async request => { add(request, 4); await request.db.flush() },
    preSerialization: async request => { add(request, 6) },
    onSend: async (request, reply) => { if (reply.statusCode < 400) await insert(request, 7) },
    onError: async request => { await tolerate(insert(request, 8)) },
    onRequestAbort: async request => { await tolerate(request.db.find(Entry, { token: request.id })) },
    onResponse: async request => { await tolerate(request.db.find(Entry, { token: request.id })) }
  }, async request => {
    await arrive(request)
    if (request.body.fails) throw new Expected()
    add(request, 5)
    return { parts: 7 }
  })

  // Hooks read before the body is there, which may take its time.
  app.post<{ Body: Order }>('/upload', {
    onRequest: async request => {
      await request.db.find(Counter, {})
      tellStage(request, 'hook', tell)
    },
    preParsing: async request => { await request.db.count(Counter) }
  }, async (request, reply) => {
    add(request, 1)
    await arrive(request)
    add(request, 2)
    return await reply.code(201).send({ uploaded: request.body.filler.length })
  })

  // A hook finds out that nobody is logged in, after it has used the session.
  app.post<{ Body: Order }>('/login', {
    onRequest: async (request, reply) => {
      add(request, 1)
      await request.db.find(Counter, {})
      tellStage(request, 'hook', tell)
      await sleep(LOGIN)
      return await reply.code(401).send({ login: 'unknown' })
    }
  }, async () => 'never called')
}

/** Where there may be no session any more, or one that has failed. */
async function tolerate (work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined)
}
