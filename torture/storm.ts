import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './answer.ts'
import { Client } from './client.ts'
import type { Database } from './database/database.ts'
import type { TorturedServer } from './database/server.ts'
import type { Faults } from './faults/all.ts'
import type { Field, Sent, Stall } from './faults/fault.ts'
import { Fleet, type Place } from './fleet.ts'
import { Ledger } from './ledger.ts'
import { ACQUIRE_TIMEOUT, CONNECTIONS } from './limits.ts'
import type { Order } from './order.ts'
import { Plan, planRequest, planStrikes, type PlannedRequest, type PlannedStrike } from './plan.ts'
import { Random } from './random.ts'
import { findRoute, type Route } from './routes.ts'

export interface StormSettings {
  readonly requests: number
  readonly seed: number
  readonly faults: Faults
  readonly routes: readonly Route[]
  /** How many the application has. */
  readonly processes: number
  /** How many clients send at a time. */
  readonly clients: number
  /** The module with the plugin under test. */
  readonly plugin: string
  /** Where the logs go. */
  readonly folder: string
  /** A large file to be sent. */
  readonly payload: string
  /** Ends the run before its time. */
  readonly signal: AbortSignal
}

/** How long a client waits after an error before it sends again, in milliseconds. */
const BACK_OFF = 50

/** A run of so many requests must have compared the heap at least once. */
const LONG_RUN = 8_000

/** Sends the planned requests, has the faults strike at their places among them, and looks at what is left behind. */
export class Storm implements Field {
  readonly ledger = new Ledger()
  readonly connections: number
  readonly acquireTimeout = ACQUIRE_TIMEOUT
  readonly #database: Database
  readonly #settings: StormSettings
  readonly #client = new Client()
  readonly #plan: Plan
  readonly #fleet: Fleet
  #sent = 0
  #running = 0
  #extra = 0
  /** How many requests may be sent for now. */
  #limit = Infinity
  /** Rejects when there is no going on. */
  readonly #brokenOff = Promise.withResolvers<never>()
  #isOver = false

  constructor (database: Database, settings: StormSettings) {
    this.#database = database
    this.#settings = settings
    this.#plan = new Plan(settings.seed, settings.routes, settings.faults.ofRequests)
    this.connections = CONNECTIONS * settings.processes
    const { plugin, payload, folder, routes, processes } = settings
    const { ledger, complain } = this
    this.#fleet = new Fleet(processes, {
      application: { ...database.settings, plugin, payload, connections: CONNECTIONS, acquireTimeout: ACQUIRE_TIMEOUT },
      folder,
      database,
      observer: { complain, lost: this.#brokenOff.reject, worked: (token, work) => ledger.worked(token, work) },
      inspected: place => ({ ledger, routes, complain: what => complain(`${what} (process ${place.name})`), send: (route, order) => this.#sendExtra(place, route, order) })
    })
  }

  get server (): TorturedServer {
    if (this.#database.server === undefined) throw new Error('this database is no server')
    return this.#database.server
  }

  async run (): Promise<void> {
    const { clients, requests, seed, faults, signal } = this.#settings
    const strikes = planStrikes(seed, faults.striking, requests)
    try {
      signal.throwIfAborted()
      signal.addEventListener('abort', () => this.#brokenOff.reject(signal.reason as Error))
      await Promise.race([this.#everything(clients, strikes), this.#brokenOff.promise])
    } catch (error) {
      this.complain(`the run was broken off: ${error instanceof Error ? error.stack : String(error)}`)
    } finally {
      this.#isOver = true
      await this.#fleet.stop()
      this.#client.close()
    }
  }

  async #everything (clients: number, strikes: PlannedStrike[]): Promise<void> {
    await this.#fleet.start()
    await Promise.all([this.#strikeAll(strikes), ...Array.from({ length: clients }, () => this.#sendAll())])
    await this.#inspect()
    if (this.#settings.requests >= LONG_RUN * this.#settings.processes && this.ledger.heap.length === 0) this.complain('the heap was never compared')
  }

  send = (route: string, order: Partial<Order> = {}, stall?: Stall): Sent => this.#sendExtra(this.#fleet.next(), route, order, stall)

  restart = async (): Promise<void> => await this.#fleet.restart()

  answered = (code: string): number => this.ledger.entries.filter(({ answer }) => answer.code === code).length

  complain = (what: string): void => {
    console.error(`${Math.round(this.ledger.now / 1000)} s: ${what}`)
    this.ledger.complain(what)
  }

  #sendExtra (place: Place, route: string, order: Partial<Order>, stall?: Stall): Sent {
    const tells = stall?.at === 'upload' ? 'hook' : 'handler'
    const request = planRequest(`x${++this.#extra}`, findRoute(route), order, { stall, tells })
    const { promise: arrived, resolve } = Promise.withResolvers<void>()
    place.application.onStage(request.token, tells, resolve)
    return { token: request.token, arrived, answered: this.#send(request, place) }
  }

  /** One client: sends what is planned next until nothing is. */
  async #sendAll (): Promise<void> {
    for (;;) {
      while (this.#sent >= this.#limit) await this.#rest()
      this.#assertGoesOn()
      if (this.#sent >= this.#settings.requests) return
      this.#sent++
      const { status, hasLeft } = await this.#send(this.#plan.next(), this.#fleet.next())
      if (!hasLeft && (status === undefined || status >= 500)) await sleep(BACK_OFF)
    }
  }

  async #send (request: PlannedRequest, place: Place): Promise<Answer> {
    this.#running++
    try {
      const began = this.ledger.now
      const answer = await this.#ask(request, place)
      place.count()
      this.ledger.write(request, answer, began)
      return answer
    } finally {
      this.#running--
    }
  }

  /** Asks again until there is an application to be asked. */
  async #ask (request: PlannedRequest, place: Place): Promise<Answer> {
    for (;;) {
      const answer = await this.#client.send(request, place.application)
      if (answer.error !== 'ECONNREFUSED') return answer
      await this.#rest()
    }
  }

  async #rest (): Promise<void> {
    this.#assertGoesOn()
    await sleep(5)
  }

  #assertGoesOn (): void {
    if (this.#isOver) throw new Error('the run is over')
  }

  /** A fault that takes long holds up the requests only when the next one's place among them is reached. */
  async #strikeAll (strikes: PlannedStrike[]): Promise<void> {
    for (const [index, { at, fault, seed }] of strikes.entries()) {
      while (this.#sent < at) await this.#rest()
      if (this.#fleet.isDue) await this.#inspect()
      this.#limit = strikes[index + 1]?.at ?? this.#settings.requests
      const from = this.ledger.now
      await fault.strike(this, new Random(seed))
      this.ledger.struck(fault.name, from)
      this.#limit = Infinity
    }
  }

  /** Lets every request end, and looks at what they have left behind. */
  async #inspect (): Promise<void> {
    this.#limit = 0
    while (this.#running > 0) await this.#rest()
    await this.#fleet.inspect()
    this.#client.hangUp()
    this.#limit = Infinity
  }
}
