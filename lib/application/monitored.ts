import type { MikroORM } from '@mikro-orm/core'
import { LookUps } from '../look-ups/look-ups.ts'
import { milliseconds } from '../options/validate.ts'
import { HealthCheck } from '../session/health-check.ts'
import { idleConnections } from '../session/idle-connections.ts'
import type { ConnectionPool } from '../transaction/connection-pool.ts'

/** How long a health check may take unless it is told, in milliseconds. */
const HEALTH_LIMIT = 1_000

/** What `db.stats()` gives. What is counted is counted since the database was registered, in this process. */
export interface DatabaseStats {
  /** As `db.openScopes`: of the whole application. */
  readonly openScopes: number
  /** How often a handler or the function of a `db.run()` was done again: in the whole application. */
  readonly retries: number
  /** Those of now. */
  readonly connections: {
    /** How many somebody has. */
    readonly used: number
    /** How many are open, and nobody has them. Undefined where the driver has no pool, or does not tell. */
    readonly idle: number | undefined
    /** How many wait for one. */
    readonly waiting: number
  }
  /** How many were sent, BEGIN and COMMIT included. */
  readonly statements: number
  /** What has become of those that were begun. */
  readonly transactions: {
    readonly committed: number
    readonly rolledBack: number
    /** The answer to COMMIT was lost. */
    readonly unknown: number
  }
}

/** What the application does, for those who watch it. */
interface Watched {
  readonly openScopes: number
  readonly retries: number
  readonly isClosed: boolean
}

/** What can be asked of a database from outside. */
export abstract class Monitored extends LookUps {
  readonly #orm: MikroORM
  readonly #pool: ConnectionPool
  readonly #application: Watched

  /** @internal */
  constructor (application: Watched, orm: MikroORM, pool: ConnectionPool) {
    super()
    this.#application = application
    this.#orm = orm
    this.#pool = pool
    const check = new HealthCheck(orm, pool)
    this.healthCheck = async limit => !application.isClosed && await check.passes(milliseconds.accepts(limit) ? Number(limit) : HEALTH_LIMIT)
  }

  /**
   * Whether the database, and each of its replicas, answers a `select 1` on a connection of the pool within a second, or within so many milliseconds.
   * Never throws. What is no whole number from 1 to 2147483647 is ignored, so that it can be given away as it is, to `@fastify/under-pressure` for one.
   *
   * @example
   * await app.register(underPressure, { healthCheck: app.db.healthCheck, healthCheckInterval: 5_000 })
   */
  readonly healthCheck: (limit?: unknown) => Promise<boolean>

  /**
   * How many connections, statements and transactions there are, and were. It looks at what is there: nothing is sent.
   *
   * @example
   * app.get('/stats', async () => await app.db.stats())
   */
  async stats (): Promise<DatabaseStats> {
    const idle = await idleConnections(this.#orm)
    const { openScopes, retries } = this.#application
    const { counts: { waiting, statements, committed, rolledBack, unknown }, inUse: { size: used } } = this.#pool
    return { openScopes, retries, connections: { used, idle, waiting }, statements, transactions: { committed, rolledBack, unknown } }
  }
}
