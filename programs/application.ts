import Fastify, { type FastifyInstance, type FastifyPluginAsync, type FastifyReply, type FastifyRequest } from 'fastify'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { SqlORM } from '../test/support/databases.ts'
import type { ScopedDbOptions } from '../plugin.ts'
import type { Database } from './database/database.ts'
import { Interpreter } from './interpret.ts'
import { afterCommit, answeredAs, isThere, unchanged } from './judge.ts'
import type { ErrorKind, Observation } from './observation.ts'
import type { Program } from './program.ts'
import type { Row, Rows } from './rows.ts'
import { shown } from './shown.ts'

/** What came of a program. */
export interface Run {
  readonly status: number
  /** What the client was told, where it was an error. */
  readonly message: string | undefined
  readonly isCommitted: boolean
  /** What has ended the handler early. */
  readonly error: ErrorKind | undefined
  readonly observed: readonly Observation[]
  readonly rows: Rows
  /** Where what it was told, what it shows and what is in the database differ. */
  readonly differences: readonly string[]
  /** Whether it has left something behind that the next one would meet. */
  readonly isTainted: boolean
}

export type Plugin = FastifyPluginAsync<ScopedDbOptions>

/** How long a program may take, in milliseconds, before it counts as never answered. */
const PATIENCE = 10_000

/** An application with the plugin under test, whose handlers are programs. */
export class Application {
  readonly #app: FastifyInstance
  readonly #orm: SqlORM
  readonly #database: Database
  /** What is there before each program. */
  readonly #seeds: Rows
  #current: Running | undefined

  private constructor (app: FastifyInstance, orm: SqlORM, database: Database, seeds: Rows) {
    this.#app = app
    this.#orm = orm
    this.#database = database
    this.#seeds = seeds
  }

  static async start (plugin: Plugin, database: Database): Promise<Application> {
    const orm = await database.connect()
    const app = Fastify()
    await database.reset()
    const application = new Application(app, orm, database, await database.read())
    await app.register(plugin, {
      orm,
      commitOnTeardown: true,
      acquireTimeout: 1_000,
      closeTimeout: 100,
      sessionOptions: () => ({ flushMode: application.#running.program.flushMode })
    })
    const handler = async (request: FastifyRequest, reply: FastifyReply) => await application.#running.handle(request, reply)
    app.route({ method: ['GET', 'POST'], url: '/', handler })
    app.route({ method: ['GET', 'POST'], url: '/retries', config: { db: { retry: { attempts: 3, backoff: 1 } } }, handler })
    await app.listen({ host: '127.0.0.1', port: 0 })
    return application
  }

  async run (program: Program): Promise<Run> {
    await this.#database.reset()
    const running = new Running(program, this.#app, this.#database, this.#seeds)
    this.#current = running
    const answer = await withPatience(this.#send(program))
    if (answer === undefined) return await running.end(0, '', ['it was never answered'])
    return await running.end(answer.status, answer.body, await this.#leftovers(running))
  }

  /** One that has left something behind is not to be used again. */
  async stop (): Promise<void> {
    await withPatience(this.#app.close())
    await withPatience(this.#orm.close(true))
  }

  get #running (): Running {
    if (this.#current === undefined) throw new Error('no program runs')
    return this.#current
  }

  async #send ({ method, retries, transport }: Program): Promise<{ status: number, body: string }> {
    const url = retries ? '/retries' : '/'
    if (transport === 'inject') {
      const { statusCode: status, body } = await this.#app.inject({ method, url })
      return { status, body }
    }
    const response = await fetch(this.#app.listeningOrigin + url, { method, redirect: 'manual' })
    return { status: response.status, body: await response.text() }
  }

  /** The scope is closed a moment after the answer, and branches that nobody waits for come to their end. */
  async #leftovers (running: Running): Promise<string[]> {
    const isSettled = await withPatience(running.settled().then(() => true))
    for (let n = 0; n < 100 && this.#app.db.openScopes > 0; n++) await (n < 50 ? turn() : sleep(10))
    const { openScopes } = this.#app.db
    return [
      ...isSettled === undefined ? ['a branch never comes to its end'] : [],
      // It would take every reference that is set from now on for one that it has read, in all requests.
      ...this.#orm.config.getHydrator(this.#orm.getMetadata()).isRunning() ? ['MikroORM believes that it still reads an entity'] : [],
      ...openScopes > 0 ? [`${openScopes} scopes are left open`] : [],
      ...await this.#database.leftovers(this.#orm)
    ]
  }
}

/** One program that runs. */
class Running {
  readonly program: Program
  readonly #app: FastifyInstance
  readonly #database: Database
  readonly #attempts: Interpreter[] = []
  readonly #differences: string[] = []
  /** What has been committed so far. */
  #committed: Rows

  constructor (program: Program, app: FastifyInstance, database: Database, before: Rows) {
    this.program = program
    this.#app = app
    this.#database = database
    this.#committed = before
  }

  async handle (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { how, status } = this.program.answer
    const attempt = new Interpreter(this.program, {
      db: this.#app.db,
      request,
      attempt: this.#attempts.length + 1,
      committed: async (unit, least) => {
        const rows = await this.#database.read()
        this.#differences.push(...least === undefined ? afterCommit(unit, this.#committed, rows) : isThere(least, unit, rows))
        this.#committed = rows
      }
    })
    this.#attempts.push(attempt)
    await attempt.run()
    reply.code(status)
    // Read when it is serialized, as entities are. What a branch changes later the answer cannot have.
    const payload = { toJSON: () => attempt.isAlone ? attempt.unit.live.map(shown) : [] }
    return how === 'return' ? payload : await reply.send(payload)
  }

  /** Branches that nobody waits for have come to their end, and have written nothing more. */
  async settled (): Promise<void> {
    if (this.#attempts.every(({ isAlone }) => isAlone)) return
    const rows = await this.#database.read()
    await Promise.all(this.#attempts.map(async attempt => await attempt.settled()))
    this.#differences.push(...unchanged('after the answer', rows, await this.#database.read()))
  }

  async end (status: number, body: string, leftovers: readonly string[]): Promise<Run> {
    const rows = await this.#database.read()
    const attempt = this.#attempts.at(-1)
    const isCommitted = status >= 200 && status < 400 && attempt?.isDoomed === false
    const found = isCommitted && attempt !== undefined
      ? [...afterCommit(attempt.unit, this.#committed, rows), ...answeredAs(JSON.parse(body) as Row[], rows)]
      : unchanged('of which nothing was to be committed', this.#committed, rows)
    return {
      status,
      message: status >= 500 ? body : undefined,
      isCommitted,
      error: attempt?.error,
      observed: attempt?.observed ?? [],
      rows,
      differences: [...this.#differences, ...found, ...leftovers],
      isTainted: leftovers.length > 0
    }
  }
}

async function withPatience <T> (work: Promise<T>): Promise<T | undefined> {
  return await Promise.race([work, sleep(PATIENCE, undefined, { ref: false })])
}
