import { COUNTERS } from './application/entities.ts'
import type { Stage } from './application/messages.ts'
import type { Departure, RequestFault, Stall, StrikingFault } from './faults/fault.ts'
import { PLAIN_ORDER, type Order } from './order.ts'
import { Random } from './random.ts'
import { findRoute, type Route } from './routes.ts'

/** The rows that belong together under a token: all of them or none. */
export interface Unit {
  readonly token: string
  readonly parts: readonly number[]
}

/** One request to send, decided before the first is sent. */
export interface PlannedRequest {
  readonly token: string
  readonly route: Route
  readonly order: Order
  /** What it writes if it goes well. */
  readonly unit: Unit | undefined
  /** What a `db.run()` inside it writes. */
  readonly runUnit: Unit | undefined
  /** What it writes to the second database if it goes well. */
  readonly secondUnit: Unit | undefined
  /** Where the client goes away. */
  readonly leaves: Departure | undefined
  /** Where the client does nothing for a while. */
  readonly stall: Stall | undefined
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

/** How many requests go between two strikes, about. */
const REQUESTS_PER_STRIKE = 400

/** One request in so many brings a fault with it. */
const REQUESTS_PER_FAULT = 10

/** Routes that change a counter for each that they are told. */
const COUNTING = new Set(['update', 'read-modify-write', 'retry'])

/** Makes every request of a run, one after the other: the same ones for the same seed. */
export class Plan {
  readonly #random: Random
  readonly #routes: readonly Route[]
  readonly #faults: readonly RequestFault[]
  #made = 0

  /** @param routes those that are asked, but for faults that take one of their own */
  constructor (seed: number, routes: readonly Route[], faults: readonly RequestFault[]) {
    this.#random = new Random(seed)
    this.#routes = routes.flatMap(route => Array.from({ length: route.weight }, () => route))
    this.#faults = faults
  }

  next (): PlannedRequest {
    const random = this.#random
    const token = `t${++this.#made}`
    const fault = this.#faults.length > 0 && random.oneIn(REQUESTS_PER_FAULT) ? random.pick(this.#faults) : undefined
    const route = fault?.routes === undefined ? random.pick(this.#routes) : findRoute(random.pick(fault.routes))
    return planRequest(token, route, { ...this.#order(route.name), ...fault?.order?.(random) }, { fault, leaves: fault?.leaves, stall: fault?.stall?.(random) })
  }

  #order (route: string): Partial<Order> {
    const random = this.#random
    return {
      counters: COUNTING.has(route) ? [random.between(1, COUNTERS)] : [],
      pause: random.oneIn(4) ? random.between(1, 15) : 0,
      fails: random.oneIn(3),
      filler: 'x'.repeat(random.oneIn(20) ? random.between(1_000, 100_000) : random.between(0, 200))
    }
  }
}

type Manner = Pick<Partial<PlannedRequest>, 'leaves' | 'stall' | 'tells' | 'fault'>

/** A request to `route` with all that follows from it. */
export function planRequest (token: string, route: Route, order: Partial<Order>, { leaves, stall, fault, tells }: Manner = {}): PlannedRequest {
  const whole = { ...PLAIN_ORDER, ...order }
  const another = (kind: Route['another']) => route.another === kind ? { token: `${token}/${kind}`, parts: [1, 2] } : undefined
  return {
    token,
    route,
    order: whole,
    unit: route.parts === undefined ? undefined : { token, parts: route.parts(whole) },
    runUnit: another('run'),
    secondUnit: another('second'),
    leaves,
    stall,
    tells: tells ?? (leaves === 'upload' || leaves === 'reply' ? undefined : leaves),
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
