import { MikroORM } from '@mikro-orm/mysql'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import type { ScopedDbOptions } from '../plugin.ts'
import { CounterSchema, EntrySchema } from '../torture/application/entities.ts'
import { SECOND, type ApplicationSettings, type Work } from '../torture/application/messages.ts'
import { connectionsOf } from '../torture/application/pools.ts'
import { addRoutes } from '../torture/application/routes/all.ts'
import { addWorkAfterwards } from '../torture/application/work-afterwards.ts'
import { ACQUIRE_TIMEOUT } from '../torture/limits.ts'
import type { Random } from '../torture/random.ts'
import { clock } from './clock.ts'
import type { Cluster } from './database/cluster.ts'

export type Plugin = FastifyPluginAsync<ScopedDbOptions & { orm: MikroORM }>

/** The names of its databases. */
export const DATABASES = ['first', SECOND]

/** The application of the torture, in this process, with connections to a cluster that is simulated. */
export class Application {
  readonly app: FastifyInstance
  /** What it has logged. */
  readonly log: readonly string[]
  /** What each request has done after its outcome. */
  readonly works: ReadonlyMap<string, Work[]>
  /** Whether nothing goes on for a client that has left. */
  readonly cancelsOnAbort: boolean
  readonly #orms: readonly MikroORM[]

  private constructor (app: FastifyInstance, orms: readonly MikroORM[], cancelsOnAbort: boolean, log: readonly string[], works: ReadonlyMap<string, Work[]>) {
    this.app = app
    this.cancelsOnAbort = cancelsOnAbort
    this.log = log
    this.works = works
    this.#orms = orms
  }

  static async start (plugin: Plugin, cluster: Cluster, random: Random): Promise<Application> {
    const orms = await Promise.all(DATABASES.map(async dbName => await MikroORM.init({
      dbName,
      contextName: dbName,
      entities: [EntrySchema, CounterSchema],
      host: 'simulated',
      ensureDatabase: false,
      pool: { max: random.between(1, 4) },
      // Its default has each connection make room for 16 000.
      driverOptions: { stream: () => cluster.connect(dbName), maxPreparedStatements: 1 }
    })))
    const log: string[] = []
    const works = new Map<string, Work[]>()
    const app = Fastify({
      logger: { stream: { write (line: string) { log.push(line.trimEnd()) } } },
      genReqId: request => String(request.headers['x-token'])
    })
    const options = optionsOf(random)
    for (const [index, orm] of orms.entries()) await app.register(plugin, { ...options, orm, ...index > 0 && { name: SECOND } })
    const tell: Parameters<typeof addRoutes>[1] = message => {
      if (message.type === 'work') works.set(message.token, [...works.get(message.token) ?? [], message.work])
    }
    addWorkAfterwards(app, tell)
    addRoutes(app, tell, {} as ApplicationSettings)
    await app.ready()
    return new Application(app, orms, options.cancelOnAbort === true, log, works)
  }

  /** What is left of requests that are over. */
  async leftovers (cluster: Cluster): Promise<string[]> {
    const pools = await Promise.all(this.#orms.map(async orm => connectionsOf(await orm.driver.getConnection().getNativeClient())))
    const pooled = pools.reduce((sum, pool) => sum + pool.pooled, 0)
    const counts: Record<string, number> = {
      'scopes are open': this.app.db.openScopes,
      'connections are not back in their pool': pools.reduce((sum, { busy }) => sum + busy, 0),
      'wait for a connection': pools.reduce((sum, { waiting }) => sum + waiting, 0),
      'transactions are open on servers': cluster.sessions.filter(({ isInTransaction }) => isInTransaction).length,
      'rows are locked': cluster.nodes.reduce((sum, { locks }) => sum + locks.count, 0),
      'connections to servers belong to nobody': cluster.sessions.length - pooled
    }
    return Object.entries(counts).filter(([, count]) => count > 0).map(([what, count]) => `${count} ${what}`)
  }

  /** @returns what is left of the application itself */
  async close (): Promise<string[]> {
    await this.app.close()
    for (const orm of this.#orms) await orm.close()
    // What is under way comes to its end.
    await clock.sleep(10_000)
    return clock.armed > 0 ? [`${clock.armed} timers are left when it has closed`] : []
  }
}

/** Another application each time. */
function optionsOf (random: Random): Partial<ScopedDbOptions> {
  return {
    commitOnTeardown: true,
    acquireTimeout: ACQUIRE_TIMEOUT,
    begin: random.pick(['auto', 'statement', 'write']),
    cancelOnAbort: random.oneIn(2),
    mapErrors: random.oneIn(4)
  }
}
