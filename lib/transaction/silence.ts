import type { DatabaseConnection } from 'kysely'
import { driverError } from '../drivers/errors.ts'
import type { ProcessList } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import type { SqlConnection } from './sql-connection.ts'

/** What a server says of a connection to it. */
interface Identity {
  readonly id?: unknown
  readonly version?: string
  readonly server?: unknown
}

/** What it is made of. */
interface ConnectionParts {
  readonly config: { get (name: string): unknown }
  readonly options: { readonly driverOptions?: unknown }
}

/** How many may be asked at the same time: a server that is frozen answers none of them. */
const MOST_QUESTIONS = 4

type ConnectionClass = new (config: unknown, options: unknown, type: 'read') => SqlConnection

/**
 * Finds out whether a connection that is silent leads nowhere, or its server still works on a statement, which can take as long as it likes.
 * Only the server knows: it is asked on a connection of its own, since those of the pool may all be silent.
 */
export class Silence {
  readonly #connection: SqlConnection
  readonly #processes: ProcessList
  readonly #identities = new WeakMap<DatabaseConnection, Identity>()
  #isTrusted = true
  #questions = 0

  private constructor (connection: SqlConnection, processes: ProcessList) {
    this.#connection = connection
    this.#processes = processes
  }

  /** That of a database which can be asked, on connections that MikroORM makes itself. */
  static of (connection: SqlConnection): Silence | undefined {
    if (!known.has(connection)) {
      const { processes } = driverOf(connection.getClient().getExecutor())
      known.set(connection, processes !== undefined && isOwn(connection) ? new Silence(connection, processes) : undefined)
    }
    return known.get(connection)
  }

  /** Whether `isLost()` can be asked about a connection. */
  knows (connection: DatabaseConnection): boolean {
    return this.#identities.has(connection)
  }

  /** The version of the server that a connection leads to, where that is asked for. */
  versionOf (connection: DatabaseConnection): string | undefined {
    return this.#identities.get(connection)?.version
  }

  /** Asks a connection for its name, which proves at the same time that it leads to a server. */
  async identify (connection: DatabaseConnection): Promise<void> {
    this.#identities.set(connection, await this.#identityOf(connection))
  }

  /** Whether a connection that has been asked something does not work on it. In doubt it does. */
  async isLost (connection: DatabaseConnection): Promise<boolean> {
    if (!this.#isTrusted || this.#questions === MOST_QUESTIONS) return false
    this.#questions++
    try {
      return await this.#ask(own => this.#isIdle(own, this.#identities.get(connection)))
    } finally {
      this.#questions--
    }
  }

  /** What is said of connections is not true: it seems that there is something in between which has one connection stand for several. */
  distrust (): void {
    this.#isTrusted = false
  }

  async #isIdle (own: DatabaseConnection, asked: Identity | undefined): Promise<boolean> {
    const { id, server } = await this.#identityOf(own)
    // Another node of a cluster knows nothing of it. The next time it may be the same.
    if (server !== asked?.server) return false
    const self = Number(id)
    const suspect = Number(asked?.id)
    const { statesOf, working, idle } = this.#processes
    const { rows } = await own.executeQuery<{ id: unknown, state: string }>(rawQuery(statesOf([self, suspect])))
    const stateOf = (id: number) => rows.find(row => Number(row.id) === id)?.state
    // Where it does not see itself, it sees another server.
    return stateOf(self) === working && [undefined, idle].includes(stateOf(suspect))
  }

  async #identityOf (connection: DatabaseConnection): Promise<Identity> {
    const { rows } = await connection.executeQuery<Identity>(rawQuery(this.#processes.ownId))
    return rows[0] as Identity
  }

  async #ask<T> (use: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const { config, options } = this.#connection as unknown as ConnectionParts
    const own = new (this.#connection.constructor as ConnectionClass)(config, options, 'read')
    own.setPlatform(this.#connection.getPlatform())
    await own.initClient()
    try {
      return await own.getClient().getExecutor().provideConnection(use)
    } finally {
      void own.close().catch(() => undefined)
    }
  }
}

const known = new WeakMap<SqlConnection, Silence | undefined>()

/** Whether another one like it can be made. */
function isOwn (connection: SqlConnection): boolean {
  const { config, options } = connection as unknown as ConnectionParts
  const driverOptions = Object(options.driverOptions ?? config.get('driverOptions')) as object
  return typeof driverOptions !== 'function' && !('createDriver' in driverOptions) && !('getExecutor' in driverOptions)
}

/** What a statement fails with whose connection leads nowhere. */
export function lost (): Error {
  return driverError(Object.assign(new Error('the connection leads nowhere: the server does not work on what was sent on it'), { code: 'ECONNRESET' }))
}
