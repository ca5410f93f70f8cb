import type { Kysely } from 'kysely'
import type { Origin } from '../diagnostics/messages.ts'
import { ActiveTransaction } from './active-transaction.ts'
import type { BeginSettings } from './begin-settings.ts'
import { connecting } from './connecting.ts'
import type { ConnectionOwner } from './pooled-connection.ts'
import { Silence } from './silence.ts'
import type { SqlConnection } from './sql-connection.ts'

export interface ConnectionUserSettings extends BeginSettings {
  /** Runs what takes a connection from the pool, where that has to know for whom. */
  readonly acquire?: ConnectionOwner['acquire']
}

/** Somebody who takes connections from a database's pool, and how his transactions begin on them. */
export class ConnectionUser implements ConnectionOwner {
  readonly #settings: ConnectionUserSettings
  /** As it is at the beginning: what `isolate()` puts in its place is for transactions that come after that, and stays theirs. */
  readonly #getClient: SqlConnection['getClient']

  constructor (settings: ConnectionUserSettings) {
    this.#settings = settings
    this.#getClient = settings.connection.getClient
  }

  /** Asked for each time: MikroORM makes itself another when it reconnects, as it does once it has made the database. */
  get client (): Kysely<unknown> {
    const { source, connection } = this.#settings
    return source === undefined ? this.#getClient.call(connection) : source.connection.getClient()
  }

  /** Until it is known which connection that is, and it is connected, if that is under way. */
  connecting (): Promise<void> | undefined {
    const choosing = this.#settings.source?.choose()
    return choosing === undefined ? connecting(this.#connection) : choosing.then(() => connecting(this.#connection))
  }

  get ledNowhere (): ConnectionOwner['ledNowhere'] {
    return this.#settings.source?.ledNowhere
  }

  get origin (): Origin {
    return this.#settings.origin
  }

  get acquire (): ConnectionOwner['acquire'] {
    return this.#settings.acquire
  }

  get silence (): Silence | undefined {
    return Silence.of(this.#connection)
  }

  get isReadOnly (): boolean {
    return this.#settings.readOnly === true
  }

  /** Whether a statement by itself has to be in a transaction: the session has something to tell row level security, which lasts for one. */
  get needsTransaction (): boolean {
    return this.#settings.sessionContext?.() !== undefined
  }

  get #connection (): SqlConnection {
    return this.#settings.source?.connection ?? this.#settings.connection
  }

  /** Begins another one, for one statement outside. MikroORM's subscribers are told of none that is not theirs. */
  beginAlone (): Promise<ActiveTransaction> {
    return ActiveTransaction.begin({ ...this.#settings, announce: undefined }, this)
  }
}
