import { setTimeout as sleep } from 'node:timers/promises'
import type { Replication } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import type { ConnectionPool } from '../transaction/connection-pool.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'
import type { Log } from '../types.ts'
import { withTimeout } from '../waiting.ts'

const now = performance.now.bind(performance)

/** How often it is asked for a position that somebody waits for, in milliseconds. */
const INTERVAL = 5

type Row = Readonly<Record<string, unknown>>

interface ReplicaSettings {
  /** Of which it is one. */
  readonly database: string
  readonly maxLag?: number | undefined
  readonly retryAfter: number
}

/** `resting` is left for `checked` when somebody would like to use it after a while, and `checked` for one of the others. */
type ReplicaState = 'serving' | 'resting' | 'checked'

/** One replica: whether it serves, how far it lags, and up to where it has applied what its primary has committed. */
export class Replica {
  readonly connection: SqlConnection
  readonly #settings: ReplicaSettings
  readonly #log: Log
  readonly #pool: ConnectionPool
  #state: ReplicaState = 'serving'
  #restsUntil = 0
  /** How far it lagged when it was asked last, and when that was. From then on it can have grown by no more than the time that has passed. */
  #lag = Infinity
  #measuredAt = 0
  #applied: string | undefined
  /** What it is being asked now, for all who would like to know. */
  readonly #asking = new Map<string, Promise<Row | undefined>>()

  /**
   * @param pool takes the connections on which it is asked how far it is
   * @param log where to report that it does not serve, or does again
   */
  constructor (connection: SqlConnection, pool: ConnectionPool, settings: ReplicaSettings, log: Log) {
    this.connection = connection
    this.#pool = pool
    this.#settings = settings
    this.#log = log
  }

  /** Whether it can be used. After its rest it is looked at first, for which nobody waits. */
  get isServing (): boolean {
    return this.#state === 'serving'
  }

  /** Somebody would like to use it. */
  wake (): void {
    if (this.#state === 'resting' && now() >= this.#restsUntil) void this.#check()
  }

  /**
   * Whether it lags no further than it may. One that does not say so, or cannot, is left out.
   * @throws what the database says where it cannot be asked that
   */
  async isRecent (): Promise<boolean> {
    const { maxLag } = this.#settings
    if (maxLag === undefined || this.#lag + now() - this.#measuredAt <= maxLag) return true
    const asked = now()
    const lag = this.#replication.lagIn(await this.#ask(this.#replication.lag))
    this.#lag = lag ?? Infinity
    this.#measuredAt = asked
    if (this.#lag <= maxLag) return true
    this.leaveOut({ lag, maxLag })
    return false
  }

  /** Whether it is known to have applied all up to a position. */
  has (position: string): boolean {
    return this.#applied !== undefined && this.#replication.hasApplied(this.#applied, position)
  }

  /** Waits until it has, but not beyond the deadline. */
  async reaches (position: string, deadline: number): Promise<boolean> {
    while (!this.has(position)) {
      const asked = this.#ask(this.#replication.applied).then(row => { this.#applied = row?.['position'] as string | null ?? undefined })
      if (!await withTimeout(deadline - now(), asked)) return false
      if (this.has(position)) break
      if (now() + INTERVAL >= deadline) return false
      await sleep(INTERVAL)
    }
    return true
  }

  /** It does not serve for a while, because of `why`. Whoever reads the log hears of that once. */
  leaveOut (why: object): void {
    const { retryAfter } = this.#settings
    if (this.#state === 'serving') this.#log.warn({ ...this.#name, ...why, retryAfter }, 'a replica is left out')
    this.#applied = undefined
    this.#restsUntil = now() + retryAfter
    this.#state = 'resting'
  }

  async #check (): Promise<void> {
    this.#state = 'checked'
    try {
      await this.#ask('select 1 as one')
      if (await this.isRecent()) {
        this.#state = 'serving'
        this.#log.info(this.#name, 'a replica serves again')
      }
    } catch (err) {
      this.leaveOut({ err })
    }
  }

  #ask (sql: string): Promise<Row | undefined> {
    let asking = this.#asking.get(sql)
    if (asking === undefined) {
      asking = this.#query(sql).finally(() => { this.#asking.delete(sql) })
      this.#asking.set(sql, asking)
    }
    return asking
  }

  async #query (sql: string): Promise<Row | undefined> {
    const { connection } = this
    const [row] = await this.#pool.ask({ get client () { return connection.getClient() } }, rawQuery<Row>(sql))
    return row
  }

  get #replication (): Replication {
    return driverOf(this.connection.getClient().getExecutor()).replication as Replication
  }

  get #name (): { database: string, replica: string } {
    const { host, port } = this.connection.getConnectionOptions()
    return { database: this.#settings.database, replica: `${host}:${port}` }
  }
}
