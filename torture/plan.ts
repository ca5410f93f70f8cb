import { COUNTERS } from './application/entities.ts'
import type { Stage } from './application/messages.ts'
import type { Departure, RequestFault, StrikingFault } from './faults/fault.ts'
import { PLAIN_ORDER, type Order } from './order.ts'
import { Random } from './random.ts'

/** The rows that belong together under a token: all of them or none. */
export interface Unit {
  readonly token: string
  readonly parts: readonly number[]
}

/** One request to send, decided before the first is sent. */
export interface PlannedRequest {
  readonly token: string
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly route: string
  readonly order: Order
  /** What it writes if it goes well. */
  readonly unit: Unit | undefined
  /** What a `db.run()` inside it writes. */
  readonly runUnit: Unit | undefined
  /** Where the client goes away. */
  readonly leaves: Departure | undefined
  /** Which stage the application is to tell of. */
  readonly tells: Stage | undefined
  /** The fault that this request brings with it. */
  readonly fault: RequestFault | undefined
}

/** A fault that strikes when so many requests have been sent. */
export interface PlannedStrike {
  readonly at: number
  readonly fault: StrikingFault
  readonly seed: number
}

/** A route that writes. */
interface WritingRoute {
  /** How often it is asked, as against the others. */
  readonly weight: number
  readonly method?: 'DELETE'
  /** What it answers when nothing disturbs it. */
  readonly status: number
  /** The rows that it writes if it goes well. */
  parts (order: Order): number[]
}

const ROUTES: Record<string, WritingRoute> = {
  insert: { weight: 6, status: 201, parts: () => [1, 2] },
  hold: { weight: 2, status: 201, parts: () => [1] },
  flush: { weight: 3, status: 200, parts: () => [1, 2, 3] },
  nest: { weight: 3, status: 200, parts: ({ fails }) => fails ? [1, 3] : [1, 2, 3] },
  run: { weight: 2, status: 200, parts: () => [1, 2] },
  update: { weight: 4, status: 200, parts: () => [1] },
  'read-modify-write': { weight: 4, status: 200, parts: ({ counters }) => counters.map((_, index) => index + 1) },
  conflict: { weight: 2, status: 409, parts: () => [1, 2] },
  refuse: { weight: 2, status: 422, parts: () => [1, 2] },
  throw: { weight: 1, status: 500, parts: () => [1] },
  // Fastify 5 forgets the handlerTimeout of a request whose body it has read (fastify/fastify#6725), so this one has none.
  late: { weight: 1, method: 'DELETE', status: 503, parts: () => [1, 2, 3] },
  redirect: { weight: 1, status: 303, parts: () => [1] },
  stream: { weight: 3, status: 200, parts: () => [1, 2, 3] },
  hijack: { weight: 2, status: 200, parts: () => [1, 2] }
}

const WEIGHTED_ROUTES = Object.entries(ROUTES).flatMap(([route, { weight }]) => Array.from({ length: weight }, () => route))

/** Routes that write nothing: one that reads, one that does not use the database. */
const READING_ROUTES = ['read', 'idle']

/** Every route, with what it answers when nothing disturbs it. */
export const HEALTHY_ANSWERS: readonly (readonly [route: string, status: number])[] = [
  ...READING_ROUTES.map(route => [route, 200] as const),
  ...Object.entries(ROUTES).map(([route, { status }]) => [route, status] as const)
]

/** How many requests go between two strikes, about. */
const REQUESTS_PER_STRIKE = 400

/** One request in so many brings a fault with it. */
const REQUESTS_PER_FAULT = 10

/** Makes every request of a run, one after the other: the same ones for the same seed. */
export class Plan {
  readonly #random: Random
  readonly #faults: readonly RequestFault[]
  #made = 0

  constructor (seed: number, faults: readonly RequestFault[]) {
    this.#random = new Random(seed)
    this.#faults = faults
  }

  next (): PlannedRequest {
    const random = this.#random
    const token = `t${++this.#made}`
    if (random.oneIn(8)) return planRequest(token, random.pick(READING_ROUTES), {})
    const fault = this.#faults.length > 0 && random.oneIn(REQUESTS_PER_FAULT) ? random.pick(this.#faults) : undefined
    const route = fault?.route ?? random.pick(WEIGHTED_ROUTES)
    return planRequest(token, route, { ...this.#order(route), ...fault?.order?.(random) }, fault)
  }

  #order (route: string): Partial<Order> {
    const random = this.#random
    return {
      counters: route === 'update' || route === 'read-modify-write' ? [random.between(1, COUNTERS)] : [],
      pause: random.oneIn(4) ? random.between(1, 15) : 0,
      fails: random.oneIn(3),
      filler: 'x'.repeat(random.oneIn(20) ? random.between(1_000, 100_000) : random.between(0, 200))
    }
  }
}

/** A request to `route` with all that follows from it. */
export function planRequest (token: string, route: string, order: Partial<Order>, fault?: RequestFault): PlannedRequest {
  const whole = { ...PLAIN_ORDER, ...order }
  const writing = ROUTES[route]
  const leaves = fault?.leaves
  return {
    token,
    method: writing === undefined ? 'GET' : writing.method ?? 'POST',
    route,
    order: whole,
    unit: writing === undefined ? undefined : { token, parts: writing.parts(whole) },
    runUnit: route === 'run' ? { token: `${token}/run`, parts: [1, 2] } : undefined,
    leaves,
    tells: leaves === 'handler' || leaves === 'commit' ? leaves : undefined,
    fault
  }
}

/**
 * When each fault strikes: all of them in some order, then all of them in another, until the requests are sent. Each
 * strikes at least once, however few the requests. The last third has none that ends the application, so that its
 * process is an old one in the end.
 */
export function planStrikes (seed: number, faults: readonly StrikingFault[], requests: number): PlannedStrike[] {
  if (faults.length === 0) return []
  const random = new Random(~seed)
  const count = Math.max(faults.length, Math.floor(requests / REQUESTS_PER_STRIKE))
  const order: StrikingFault[] = []
  while (order.length < count) order.push(...random.shuffled(faults))
  order.length = count
  const distance = requests / (count + 1)
  return endProcessesEarly(order, random).map((fault, index) => ({
    fault,
    at: Math.floor(distance * (index + 0.5 + random.between(0, 100) / 100)),
    seed: random.between(1, 1_000_000)
  }))
}

/** Moves what ends the application out of the last third. */
function endProcessesEarly (order: StrikingFault[], random: Random): StrikingFault[] {
  const early = Math.ceil(order.length * 2 / 3)
  const isLate = ({ endsProcess }: StrikingFault, index: number) => index >= early && endsProcess === true
  const moved = order.filter((fault, index) => !isLate(fault, index))
  for (const fault of order.filter(isLate)) moved.splice(random.between(0, early - 1), 0, fault)
  return moved
}
