import { driverOf } from '../drivers/drivers.ts'
import type { Replication } from '../drivers/contracts.ts'
import { CannotConnectError, InvalidOptionError } from '../errors/errors.ts'
import type { DatabaseSettings } from '../options/options.ts'
import { MAX_WAIT, RETRY_AFTER } from '../options/replica-options.ts'
import { ConnectionPool } from '../transaction/connection-pool.ts'
import type { ConnectionSource } from '../transaction/connection-source.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'
import { commandsOn } from '../transaction/transaction-commands.ts'
import { leadsNowhere } from '../transaction/until-one-works.ts'
import type { Log } from '../types.ts'
import { alwaysThe, ChosenConnection } from './chosen-connection.ts'
import { Replica } from './replica.ts'

const now = performance.now.bind(performance)

/** How long a replica may take to say how far it is, in milliseconds. */
const SILENCE = 2_000

type Settings = Pick<DatabaseSettings, 'name' | 'acquireTimeout' | 'replicas' | 'readYourWrites'>

/** The replicas of one database, and which of them a session reads from. */
export class Replicas {
  /** What has the connections on which they are asked. */
  readonly pool = new ConnectionPool(SILENCE)
  readonly #primary: SqlConnection
  readonly #areReached: () => boolean
  readonly #all: readonly Replica[]
  readonly #settings: Settings
  /** Where everything else goes; nothing where MikroORM is to choose. */
  readonly #otherwise: ConnectionSource | undefined

  /**
   * @param areReached whether MikroORM uses them: `isolate()` leads all to one connection
   * @param log where to report that one is left out
   */
  constructor (primary: SqlConnection, replicas: readonly SqlConnection[], areReached: () => boolean, settings: Settings, log: Log) {
    const { name, replicas: options, readYourWrites } = settings
    this.#primary = primary
    this.#areReached = areReached
    this.#all = replicas.map(connection => new Replica(connection, this.pool, { database: name, maxLag: options?.maxLag, retryAfter: options?.retryAfter ?? RETRY_AFTER }, log))
    this.#settings = settings
    this.#otherwise = options === undefined && readYourWrites === undefined ? undefined : alwaysThe(primary)
  }

  /** How positions of commits are told from anything else. */
  isPosition (text: string): boolean {
    return this.#replication?.shape.test(text) === true
  }

  /** The later of two positions. */
  later (one: string, other: string): string {
    return this.#replication?.hasApplied(one, other) === true ? one : other
  }

  /**
   * Finds out whether the servers can do what they are to do. A replica that cannot be reached is left out, and looked at later.
   * @throws InvalidOptionError when they cannot
   * @throws CannotConnectError when the primary cannot be asked
   */
  async start (): Promise<void> {
    const { name, replicas, readYourWrites } = this.#settings
    if (readYourWrites !== undefined) await this.#assertTellsPositions()
    if (replicas?.maxLag === undefined) return
    if (this.#replication === undefined) throw new InvalidOptionError('the option "replicas.maxLag"', 'a database whose replicas can be asked', `"${name}"`)
    await Promise.all(this.#all.map(replica => this.#isRecent(replica, cause => {
      if (!leadsNowhere(cause)) throw Object.assign(new InvalidOptionError('the option "replicas.maxLag"', 'replicas that say how far they lag', `one of "${name}" that refuses to`), { cause })
    })))
  }

  /**
   * Where a session's statements go; nothing where MikroORM is to choose.
   * @param readOnly whether it only reads
   * @param wanted the position that it has to see, if any
   */
  source (readOnly: boolean, wanted?: () => string | undefined): ConnectionSource | undefined {
    return readOnly && this.#areReached() ? new ChosenConnection(this.#primary, () => this.#find(wanted?.())) : this.#otherwise
  }

  /** Any of those that may be used; of those that have the position one, if there is one, and else the first that gets it in time. */
  async #find (wanted: string | undefined): Promise<Replica | undefined> {
    for (const replica of this.#all) replica.wake()
    const deadline = now() + (this.#settings.readYourWrites?.maxWait ?? MAX_WAIT)
    const hasIt = (replica: Replica) => wanted !== undefined && replica.has(wanted)
    const serving = shuffled(this.#all.filter(({ isServing }) => isServing))
    for (const replica of [...serving.filter(hasIt), ...serving.filter(replica => !hasIt(replica))]) {
      if (await this.#isRecent(replica) && (wanted === undefined || await this.#reaches(replica, wanted, deadline))) return replica
    }
    return undefined
  }

  async #isRecent (replica: Replica, onError?: (error: unknown) => void): Promise<boolean> {
    return await unlessItFails(replica, () => replica.isRecent(), onError)
  }

  async #reaches (replica: Replica, wanted: string, deadline: number): Promise<boolean> {
    return await unlessItFails(replica, () => replica.reaches(wanted, deadline))
  }

  /** By a commit of nothing. */
  async #assertTellsPositions (): Promise<void> {
    const { name, acquireTimeout } = this.#settings
    const connection = this.#primary
    let position: string | undefined
    let said: unknown
    try {
      const pooled = await new ConnectionPool(acquireTimeout).acquire({ get client () { return connection.getClient() } }, async (pooled, inTime) => {
        const commands = commandsOn(pooled, connection.getPlatform())
        await inTime(commands.begin({}))
        position = await inTime(commands.commit(error => { said = error }))
        return pooled
      })
      await pooled.release()
    } catch (cause) {
      if (leadsNowhere(cause)) throw Object.assign(new CannotConnectError(name, 'cannot be reached'), { cause })
      said = cause
    }
    if (position === undefined) throw Object.assign(new InvalidOptionError('the option "readYourWrites"', 'a database that tells the position of a commit', `"${name}", which does not`), { cause: said })
  }

  get #replication (): Replication | undefined {
    return driverOf(this.#primary.getClient().getExecutor()).replication
  }
}

/** One that cannot answer is left out. */
async function unlessItFails (replica: Replica, ask: () => Promise<boolean>, onError?: (error: unknown) => void): Promise<boolean> {
  try {
    return await ask()
  } catch (err) {
    onError?.(err)
    replica.leaveOut({ err })
    return false
  }
}

function shuffled<T> (all: readonly T[]): T[] {
  return all.map(one => ({ one, order: Math.random() })).sort((a, b) => a.order - b.order).map(({ one }) => one)
}
