import { LockMode, raw, UniqueConstraintViolationException } from '@mikro-orm/core'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from '../order.ts'
import { CounterSchema as Counter, EntrySchema as Entry, TAKEN } from './entities.ts'
import type { FromApplication } from './messages.ts'

type OrderRequest = FastifyRequest<{ Body: Order }>
type Arrive = (request: OrderRequest) => Promise<void>

/** How long the handler of `/late` may take, in milliseconds, which it does not keep to. */
const HANDLER_TIMEOUT = 100

/** The routes that orders are sent to: what applications do in their handlers, one thing each. Every one of them writes. */
export function addRoutes (app: FastifyInstance, tell: (message: FromApplication) => void): void {
  const arrive: Arrive = async request => {
    if (request.headers['x-tells'] === 'handler') tell({ type: 'stage', token: request.id, stage: 'handler' })
    if (request.body.pause > 0) await sleep(request.body.pause)
  }
  app.get('/idle', async () => 'idle')
  app.get('/read', async request => await request.db.find(Counter, {}))
  addPlainRoutes(app, arrive)
  addCounterRoutes(app, arrive)
  addFailingRoutes(app, arrive)
  addRoutesWithOtherReplies(app, arrive)
}

function addPlainRoutes (app: FastifyInstance, arrive: Arrive): void {
  const session = app.db.session

  app.post<{ Body: Order }>('/insert', async (request, reply) => {
    add(request, 1)
    await arrive(request)
    session.create(Entry, { token: request.id, part: 2 })
    // Found out only when the session is flushed, at the end.
    if (request.body.collides) session.create(Entry, { token: request.id, part: 3, mark: TAKEN })
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
    await request.db.transactional(async nested => {
      nested.create(Entry, { token: request.id, part: 2 })
      await nested.flush()
      await arrive(request)
      if (request.body.fails) throw new Expected()
    }).catch(ifExpected)
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

function addCounterRoutes (app: FastifyInstance, arrive: Arrive): void {
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

function addFailingRoutes (app: FastifyInstance, arrive: Arrive): void {
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

function addRoutesWithOtherReplies (app: FastifyInstance, arrive: Arrive): void {
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

function add (request: OrderRequest, part: number): void {
  request.db.create(Entry, { token: request.id, part })
}

/** What handlers throw on purpose. */
class Expected extends Error {
  override readonly message = 'on purpose'
}

function ifExpected (error: unknown): void {
  if (!(error instanceof Expected)) throw error
}
