import { NEVER_ANSWERED, type Answer } from '../torture/answer.ts'
import { COUNTERS } from '../torture/application/entities.ts'
import { check, fatesOfUnknown, type Fate, type Violation } from '../torture/checker.ts'
import type { Entry } from '../torture/ledger.ts'
import type { Order } from '../torture/order.ts'
import { planRequest, type PlannedRequest } from '../torture/plan.ts'
import { Random } from '../torture/random.ts'
import { findRoute, type Route } from '../torture/routes.ts'
import { droppedIn, Works } from '../torture/works.ts'
import { Application, DATABASES, type Plugin } from './application.ts'
import { ask } from './client.ts'
import { clock } from './clock.ts'
import { Cluster } from './database/cluster.ts'
import { Faults, type Fault } from './faults.ts'
import { planStrikes } from './strikes.ts'

/** What one schedule has come to. */
export interface Outcome {
  readonly violations: readonly Violation[]
  readonly entries: readonly Entry[]
  /** How often each fault has struck. */
  readonly struck: ReadonlyMap<string, number>
  /** What has become of the units whose clients were told that nobody knows. */
  readonly unknown: readonly Fate[]
  /** What was sent to the servers, and what became of it. */
  readonly trace: readonly string[]
  readonly log: readonly string[]
}

/** Longer than everything that may take long in there, in milliseconds. */
const PATIENCE = 1_000_000_000

/** Until everybody has noticed that nothing disturbs them any more, in milliseconds. */
const REST = 10_000

/** The same, where a handler may still wait for a server whose client has left: only TCP ends that, or a `handlerTimeout`. */
const LONG_REST = 10_000_000

/** Has an application, its clients and its servers meet whatever follows from `seed`, and looks at what comes of it. */
export class Schedule {
  readonly #plugin: Plugin
  readonly #random: Random
  readonly #routes: readonly Route[]
  readonly #faults: Faults
  readonly #cluster: Cluster
  readonly #entries: Entry[] = []
  readonly #running = new Set<PlannedRequest>()
  readonly #violations: Violation[] = []
  #left: number

  constructor (seed: number, plugin: Plugin, routes: readonly Route[], allowed: readonly Fault[]) {
    clock.reset()
    this.#plugin = plugin
    this.#random = new Random(seed)
    this.#routes = routes.flatMap(route => Array.from({ length: route.weight }, () => route))
    this.#faults = new Faults(this.#random, allowed)
    this.#cluster = new Cluster(this.#random.pick([1, 1, 3]), DATABASES, this.#random, this.#faults)
    this.#left = this.#random.between(4, 14)
  }

  async run (): Promise<Outcome> {
    const { random } = Math
    // Waits between attempts are drawn.
    Math.random = () => this.#random.between(0, 999_999) / 1_000_000
    const complain = (error: unknown): void => { this.#complain(`an unhandled rejection: ${error instanceof Error ? error.stack : String(error)}`) }
    process.on('unhandledRejection', complain)
    try {
      return await this.#run()
    } finally {
      process.off('unhandledRejection', complain)
      Math.random = random
    }
  }

  async #run (): Promise<Outcome> {
    const faults = this.#faults
    const cluster = this.#cluster
    const entries = this.#entries
    const application = await inTime(Application.start(this.#plugin, cluster, this.#random))
    if (application === undefined) throw new Error('the application has not started')
    faults.areActive = true
    const clients = Array.from({ length: this.#random.between(1, 5) }, async () => { await this.#sendAll(application) })
    planStrikes(cluster, faults, this.#random)
    await inTime(Promise.all(clients))
    for (const { token, route } of this.#running) this.#complain(`${token} to /${route.name} was ${NEVER_ANSWERED}`, token)
    faults.areActive = false
    const goOnAlone = !application.cancelsOnAbort && entries.some(({ answer }) => answer.hasLeft)
    await inTime(clock.sleep(goOnAlone ? LONG_REST : REST))
    await this.#goOn(application)
    for (const left of await inTime(application.leftovers(cluster)) ?? ['it does not say what is left']) this.#complain(left)
    const contents = cluster.read()
    const works = new Works(application.works, droppedIn(application.log))
    for (const left of await inTime(application.close()) ?? ['it does not close']) this.#complain(left)
    return {
      violations: [...this.#violations, ...check(entries, contents, works)],
      entries,
      struck: faults.struck,
      unknown: fatesOfUnknown(entries, contents),
      trace: cluster.trace,
      log: application.log
    }
  }

  /** One client: sends one request after the other. */
  async #sendAll (application: Application): Promise<void> {
    const random = this.#random
    await clock.sleep(random.between(1, 50))
    while (this.#left > 0) {
      const route = random.pick(this.#routes)
      await this.#send(application, planRequest(`t${this.#left--}`, route, this.#order(route)))
      if (random.oneIn(4)) await clock.sleep(random.between(1, 400))
    }
  }

  /** Others have to be able to write when nothing disturbs it any more. */
  async #goOn (application: Application): Promise<void> {
    for (const token of ['last1', 'last2', 'last3']) {
      const answer = await inTime(this.#send(application, planRequest(token, findRoute('insert'), {})))
      if (answer?.status !== 201) this.#complain(`with nothing to disturb it /insert answers ${answer?.status} ${answer?.code}`, token)
    }
    await inTime(clock.sleep(REST))
  }

  async #send (application: Application, request: PlannedRequest): Promise<Answer> {
    const began = clock.now
    const leaving = new AbortController()
    if (this.#faults.strikes('leave')) clock.after(this.#random.between(1, 200), () => { leaving.abort() })
    this.#running.add(request)
    this.#cluster.tell(`${request.token} is sent to /${request.route.name}`)
    const answer = await ask(application.app, request, leaving.signal)
    this.#cluster.tell(`${request.token} is answered ${answer.status ?? answer.error} ${answer.code ?? ''}`)
    this.#running.delete(request)
    this.#entries.push({ request, answer, at: clock.now, took: clock.now - began })
    return answer
  }

  #order ({ name }: Route): Partial<Order> {
    const random = this.#random
    const counters = random.shuffled([1, 2, random.between(3, COUNTERS)])
    return {
      counters: name === 'update' ? counters.slice(0, 1) : counters.slice(0, random.between(1, 3)),
      pause: random.oneIn(3) ? random.between(1, 50) : 0,
      fails: random.oneIn(3),
      collides: random.oneIn(5),
      ...random.oneIn(4) && { unconvertible: random.pick(['in', 'out'] as const) }
    }
  }

  #complain (what: string, token?: string): void {
    this.#violations.push({ what, ...token !== undefined && { token } })
  }
}

/** Lets time pass until it has come; gives nothing when it does not. */
async function inTime<T> (work: Promise<T>): Promise<T | undefined> {
  let result: { readonly value: T } | undefined
  let failure: { readonly error: unknown } | undefined
  work.then(value => { result = { value } }, (error: unknown) => { failure = { error } })
  await clock.run(() => result !== undefined || failure !== undefined, clock.now + PATIENCE)

  if (failure !== undefined) throw failure.error
  return result?.value
}
