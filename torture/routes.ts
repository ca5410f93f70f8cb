import type { ApplicationSettings } from './application/messages.ts'
import type { Order } from './order.ts'

/** A route of the application, seen from outside. */
export interface Route {
  readonly name: string
  /** How often it is asked, as against the others. */
  readonly weight: number
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Whether it takes the connection over. */
  readonly isUpgrade?: true
  /** Whether it answers before its unit of work has an outcome, so that the answer says nothing of it. */
  readonly answersFirst?: true
  /** What it answers when nothing disturbs it, to an order that asks for no failure. */
  readonly status: number
  /** The same, where a database has an answer of its own. */
  readonly statusOn?: Partial<Record<ApplicationSettings['database'], number>>
  /** The rows that it writes if it goes well; one that writes none has no unit of work. */
  readonly parts?: (order: Order) => number[]
  /** A second unit of work, which a `db.run()` inside it writes, or which is in the second database. */
  readonly another?: 'run' | 'second'
}

function writing (name: string, weight: number, status: number, parts: number[] | ((order: Order) => number[]), more: Partial<Route> = {}): Route {
  return { name, weight, status, method: 'POST', parts: Array.isArray(parts) ? () => parts : parts, ...more }
}

export const ROUTES: readonly Route[] = [
  { name: 'read', weight: 3, method: 'GET', status: 200 },
  { name: 'idle', weight: 3, method: 'GET', status: 200 },
  writing('insert', 6, 201, [1, 2]),
  writing('hold', 2, 201, [1]),
  writing('flush', 3, 200, [1, 2, 3]),
  writing('nest', 3, 200, order => order.fails ? [1, 3] : [1, 2, 3]),
  writing('run', 2, 200, [1, 2], { another: 'run' }),
  writing('update', 4, 200, [1]),
  writing('read-modify-write', 4, 200, order => order.counters.map((_, index) => index + 1)),
  writing('conflict', 2, 409, [1, 2]),
  writing('swallow', 2, 200, order => order.fails ? [1] : [1, 3], { statusOn: { postgresql: 500 } }),
  writing('savepoint', 2, 200, [1, 3]),
  writing('refuse', 2, 422, [1, 2]),
  writing('throw', 1, 500, [1]),
  // Fastify 5 forgets the handlerTimeout of a request whose body it has read (fastify/fastify#6725), so these have none.
  writing('late', 1, 503, [1, 2, 3], { method: 'DELETE' }),
  writing('limited', 1, 200, [1, 2, 3, 4], { method: 'DELETE' }),
  writing('redirect', 1, 303, [1]),
  writing('stream', 3, 200, [1, 2, 3]),
  writing('download', 2, 200, [1, 2]),
  writing('hijack', 2, 200, [1, 2]),
  writing('return-reply', 2, 200, [1, 2, 3]),
  writing('callbacks', 2, 200, [1, 2, 3]),
  writing('thenable', 2, 200, [1, 2, 3]),
  writing('send-twice', 1, 200, [1, 2]),
  writing('hooks', 3, 200, [1, 2, 3, 4, 5, 6, 7]),
  writing('upload', 2, 201, [1, 2]),
  writing('login', 1, 401, [1]),
  writing('convert', 1, 200, [1, 2, 3]),
  writing('both', 3, 200, [1, 2], { another: 'second' }),
  writing('retry', 2, 201, order => [1, ...order.counters.map((_, index) => index + 2)]),
  writing('upgrade', 1, 101, [1, 2], { method: 'GET', isUpgrade: true }),
  writing('take-over', 1, 101, [1, 2], { method: 'GET', isUpgrade: true, answersFirst: true })
]

export function findRoute (name: string): Route {
  const found = ROUTES.find(route => route.name === name)
  if (found === undefined) throw new Error(`there is no route ${name}`)
  return found
}
