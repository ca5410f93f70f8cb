import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './answer.ts'
import type { Application } from './application.ts'
import type { ApplicationState } from './application/messages.ts'
import type { Database } from './database/database.ts'
import type { Ledger } from './ledger.ts'
import type { Order } from './order.ts'
import type { Route } from './routes.ts'

/** How long what is left behind may take to go, in milliseconds. */
const SETTLING = 5_000

/** Requests that a process has to answer before its first inspection, which its heap is compared with, and between two. */
const WARM_UP = 1_500

/** How much the heap may grow after the warm-up. */
const HEAP_GROWTH = 1.1

/** What an inspector works with. */
export interface Inspected {
  readonly ledger: Ledger
  readonly routes: readonly Route[]
  send (route: string, order: Partial<Order>): { answered: Promise<Answer> }
  complain (what: string): void
}

/** Looks at what requests have left behind in one application process, and whether it is well. To be used when none runs. */
export class Inspector {
  readonly #application: Application
  readonly #database: Database
  readonly #inspected: Inspected
  #answered = 0
  #heapAfterWarmUp: number | undefined

  constructor (application: Application, database: Database, inspected: Inspected) {
    this.#application = application
    this.#database = database
    this.#inspected = inspected
  }

  /** Whether enough requests have been answered since the last inspection. */
  get isDue (): boolean {
    return this.#answered >= WARM_UP
  }

  /** Counts one more answer. */
  count (): void {
    this.#answered++
  }

  /** Waits for what is left behind to go, compares the heap, and asks every route whether it is well. */
  async inspect (): Promise<void> {
    const { heapUsed } = await this.#settle()
    if (this.#heapAfterWarmUp !== undefined) this.#inspected.ledger.heap.push(heapUsed / this.#heapAfterWarmUp)
    else if (this.isDue) this.#heapAfterWarmUp = heapUsed
    await this.#checkHealth()
    this.#answered = 0
  }

  async #settle (): Promise<ApplicationState> {
    const deadline = performance.now() + SETTLING
    for (;;) {
      const state = await this.#application.inspect()
      const left = [...this.#leftBehind(state), ...await this.#database.leftovers()]
      if (left.length === 0) return state
      if (performance.now() > deadline) {
        for (const what of left) this.#inspected.complain(`after ${SETTLING} ms of rest: ${what}`)
        return state
      }
      await sleep(50)
    }
  }

  #leftBehind ({ pool, openScopes, descriptors, heapUsed }: ApplicationState): string[] {
    const before = this.#heapAfterWarmUp ?? Infinity
    return [
      ...pool,
      ...descriptors,
      ...openScopes > 0 ? [`${openScopes} scopes are open`] : [],
      ...heapUsed > before * HEAP_GROWTH ? [`the heap has grown from ${before} bytes after warm-up to ${heapUsed}`] : []
    ]
  }

  /** What has gone wrong before must not poison what comes now. */
  async #checkHealth (): Promise<void> {
    const { send, complain, routes } = this.#inspected
    for (const { name, status: usual, statusOn } of routes) {
      const healthy = statusOn?.[this.#database.settings.database] ?? usual
      // On another node of a cluster what came last may still be under way, and in the way.
      await this.#database.caughtUp()
      const { status, code, error, body } = await send(name, { counters: [1] }).answered
      if (status !== healthy) complain(`with nothing to disturb it /${name} answers ${status ?? error} ${code ?? ''}`)
      if (name === 'stream' && body !== 'begin\n1\n2\n3\nend\n') complain(`with nothing to disturb it /${name} sends ${body}`)
    }
  }
}
