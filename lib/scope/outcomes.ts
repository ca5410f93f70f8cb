import { isInDoubt } from '../errors/causes.ts'
import { OutcomeCallbacks, type AfterWork } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { SessionOutcomes } from '../session/nesting.ts'
import type { Outcome, ScopeInfo } from '../types.ts'
import type { ScopeHost, ScopeOwner } from './contracts.ts'
import type { Participants } from './participants.ts'

type IsMeant = (database: SessionDatabase) => boolean

/**
 * The outcomes of a scope, and what waits for them. There is one of each commit or rollback by hand, one of each transaction that a
 * session ends by itself, and the last.
 */
export class Outcomes implements SessionOutcomes {
  readonly #host: ScopeHost
  readonly #owner: ScopeOwner
  readonly #info: ScopeInfo
  readonly #participants: Participants
  /** None until something waits. */
  #callbacks: OutcomeCallbacks | undefined
  #hasCommitted = false

  constructor (host: ScopeHost, owner: ScopeOwner, info: ScopeInfo, participants: Participants) {
    this.#host = host
    this.#owner = owner
    this.#info = info
    this.#participants = participants
  }

  /** Whether one of those before the last was a commit, or may have been. */
  get hasCommitted (): boolean {
    return this.#hasCommitted
  }

  /** Whether anything has ever waited for one. */
  get isUsed (): boolean {
    return this.#callbacks !== undefined
  }

  /** Whether nothing waits. */
  get isEmpty (): boolean {
    return this.#callbacks?.isEmpty !== false
  }

  /** What waits for the next outcome of the scope. */
  waiting (): OutcomeCallbacks {
    this.#callbacks ??= new OutcomeCallbacks()
    return this.#callbacks
  }

  /** Has `work` wait for an outcome: that of the transaction inside the scope that the database's session is in now, if it is in one. */
  add (outcome: Outcome, database: SessionDatabase, work: AfterWork): void {
    const callbacks = this.#participants.find(database)?.callbacks() ?? this.waiting()
    callbacks.add({ outcome, database, work })
  }

  ended (database: SessionDatabase, callbacks: OutcomeCallbacks, outcome: Outcome): void {
    if (outcome === 'commit') this.#hasCommitted = true
    if (!callbacks.isEmpty) this.#host.after(callbacks.take(outcome, this.#info, other => other === database), this.#owner.log)
  }

  /** Waits for a commit or a rollback by hand, and starts what waits for it. */
  async byHand (outcome: Outcome, work: Promise<void> | undefined): Promise<void> {
    await this.#startAfter(outcome, work)
    if (outcome === 'commit') this.#hasCommitted = true
  }

  /** Waits for the last one to be carried out, and starts what waits for it. */
  last (outcome: Outcome, work: Promise<void>): Promise<void> {
    return this.#startAfter(outcome, work, database => this.#isCommitted(database))
  }

  /** Starts what waits for the last one, which is there. */
  startLast (outcome: Outcome): void {
    this.start(outcome, database => this.#isCommitted(database))
  }

  /** An outcome is there: starts what waits for it, or what is of the databases that are meant. */
  start (outcome: Outcome, isMeant?: IsMeant): void {
    if (this.#callbacks !== undefined) this.#host.after(this.#callbacks.take(outcome, this.#info, isMeant), this.#owner.log, this.#participants.rolledBack)
  }

  async #startAfter (outcome: Outcome, work: Promise<void> | undefined, isMeant?: IsMeant): Promise<void> {
    try {
      await work
    } catch (error) {
      if (isInDoubt(error)) this.#drop(error)
      else this.start('rollback')
      throw error
    }
    this.start(outcome, isMeant)
  }

  #drop (err: unknown): void {
    this.#hasCommitted = true
    const dropped = this.#callbacks?.drop() ?? 0
    if (dropped > 0) this.#owner.log.error({ err, dropped }, 'work after the outcome of a database scope is not done: nobody knows the outcome')
  }

  /** Whether the outcome of the scope is that of a database. Plain MikroORM waits for a commit by hand. */
  #isCommitted (database: SessionDatabase): boolean {
    return this.#participants.find(database)?.isAutomatic ?? this.#owner.transactionSettings(database).mode === 'automatic'
  }
}
