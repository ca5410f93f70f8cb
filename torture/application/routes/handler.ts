import type { FastifyRequest } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from '../../order.ts'
import { EntrySchema as Entry, TAKEN } from '../entities.ts'
import type { FromApplication, Stage } from '../messages.ts'

export type OrderRequest = FastifyRequest<{ Body: Order }>

/** What a handler does when it is half done: tells its client, which may leave now, and pauses. */
export type Arrive = (request: OrderRequest) => Promise<void>

export function arriving (tell: (message: FromApplication) => void): Arrive {
  return async request => {
    tellStage(request, 'handler', tell)
    const { pause = 0 } = request.body ?? {}
    if (pause > 0) await sleep(pause)
  }
}

/** Tells that the request is there, if its client wants to know. */
export function tellStage ({ id, headers }: FastifyRequest, stage: Stage, tell: (message: FromApplication) => void): void {
  if (headers['x-tells'] === stage) tell({ type: 'stage', token: id, stage })
}

/** Creates one row of the request's unit of work. */
export function add (request: FastifyRequest, part: number): void {
  request.db.create(Entry, { token: request.id, part })
}

/** Inserts one at once. */
export async function insert (request: FastifyRequest, part: number): Promise<void> {
  await request.db.insert(Entry, { token: request.id, part })
}

/** Creates, if it was ordered, what is found out only when the session is flushed, at the end. */
export function addCollision (request: OrderRequest, part: number): void {
  if (request.body.collides) request.db.create(Entry, { token: request.id, part, mark: TAKEN })
}

/** What handlers throw on purpose. */
export class Expected extends Error {
  override readonly message = 'on purpose'
}

export function ifExpected (error: unknown): void {
  if (!(error instanceof Expected)) throw error
}
