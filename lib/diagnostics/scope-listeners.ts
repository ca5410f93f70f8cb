import type { Channel } from 'node:diagnostics_channel'
import type { ScopeInfo } from '../types.ts'
import { CONNECTION, STATEMENT, TRANSACTION } from './channels.ts'
import type { ConnectionMessage, DatabaseMessage, StatementMessage, TransactionMessage } from './messages.ts'

type Listener<Message> = (message: Message) => void

/** Who is told of one event of what single scopes do. Listens to the channel for as long as there is somebody to tell. */
class ScopeListeners<Message extends DatabaseMessage> {
  readonly #event: Channel<unknown, Message>
  /** Those of each scope that has any, by the name of the database. A Map would keep scopes that are over, as a Set does (see `Bag`). */
  readonly #listeners = new WeakMap<ScopeInfo, Map<string, Listener<Message>>>()
  #scopes = 0

  constructor (event: Channel<unknown, Message>) {
    this.#event = event
  }

  /** Tells `listener`, in the place of an earlier one, of what a scope does in one database, until `forget` is called. */
  listen (scope: ScopeInfo, database: string, listener: Listener<Message>): void {
    const known = this.#listeners.get(scope)
    if (known === undefined && this.#scopes++ === 0) this.#event.subscribe(this.#tell)
    this.#listeners.set(scope, (known ?? new Map<string, Listener<Message>>()).set(database, listener))
  }

  /** Nobody is told of a scope any more. */
  forget (scope: ScopeInfo): void {
    if (this.#listeners.delete(scope) && --this.#scopes === 0) this.#event.unsubscribe(this.#tell)
  }

  readonly #tell = (told: unknown): void => {
    const message = told as Message
    this.#listeners.get(message.scope)?.get(message.database)?.(message)
  }
}

export const ANSWERED_STATEMENTS = new ScopeListeners<StatementMessage>(STATEMENT.asyncEnd)
export const ENDED_TRANSACTIONS = new ScopeListeners<TransactionMessage>(TRANSACTION.asyncEnd)
/** Those that have come, and those that were waited for in vain. */
export const AWAITED_CONNECTIONS = new ScopeListeners<ConnectionMessage>(CONNECTION.asyncStart)
