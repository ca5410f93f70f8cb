import type { EntityManager } from '@mikro-orm/core'
import { debug } from '../debug.ts'
import { isInDoubt } from '../errors/causes.ts'
import { RollbackOnlyError, ScopeClosedError, scopeIs } from '../errors/errors.ts'
import { OutcomeCallbacks, type AfterWork } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { SessionOwner } from '../session/nesting.ts'
import { Participant } from '../session/participant.ts'
import type { Ready } from '../transaction/contracts.ts'
import { transition } from '../transition.ts'
import type { Outcome, ScopeInfo, ScopeKind } from '../types.ts'
import type { ScopeHost, ScopeOwner } from './contracts.ts'
import { Participants, TEARDOWN_FAILED } from './participants.ts'
import { ENDED, TRANSITIONS, type ScopeState } from './state.ts'

/**
 * One unit of work: a request, or one `db.run()`. Holds at most one session for each database, made on first use, and goes once
 * through the states of state.ts. Ending and closing are idempotent: Fastify may call `onSend` twice, and `onResponse` never.
 *
 * Longer than other files: it is where the states, the sessions and the callbacks of a unit of work meet, and nothing else.
 */
export class Scope implements SessionOwner {
  readonly host: ScopeHost
  readonly #owner: ScopeOwner
  #parent: Scope | undefined
  #state: ScopeState = 'open'
  /** None until the first session is made. */
  #participants: Participants | undefined
  /** None until something waits for the outcome. */
  #callbacks: OutcomeCallbacks | undefined
  #isRollbackOnly = false
  #hasCommitted = false
  /** What `end()` has given, while there was something to wait for. */
  #ending: Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** @param parent the scope that it is opened in */
  constructor (host: ScopeHost, owner: ScopeOwner, parent: Scope | undefined) {
    this.host = host
    this.#owner = owner
    this.#parent = parent
    debug('scope opened: %s', owner.kind)
  }

  /** Itself: what has it for its source is in it. */
  openScope (): this {
    return this
  }

  isOwnedBy (owner: ScopeOwner): boolean {
    return this.#owner === owner
  }

  /** The scope that this one was opened in, until this one is closed: nothing is kept of a chain of closed ones. */
  get parent (): Scope | undefined {
    return this.#parent
  }

  get kind (): ScopeKind {
    return this.#owner.kind
  }

  get state (): ScopeState {
    return this.#state
  }

  /** Whether it is closed, or about to be. */
  get isClosed (): boolean {
    return this.#closing !== undefined || this.#isOver
  }

  get #isOver (): boolean {
    return this.#state === 'destroyed' || this.#state === 'closed'
  }

  get isRollbackOnly (): boolean {
    return this.#isRollbackOnly
  }

  /** Whether it has had a session, of whichever database. */
  get isUsed (): boolean {
    return this.#participants !== undefined
  }

  /** Whether something of it is in a database already, or may be: by a commit by hand, a transaction of its own, or a session that the scope does not commit. */
  get hasCommitted (): boolean {
    return this.#hasCommitted || this.#participants?.hasWrittenByHand === true
  }

  /** Whether there is a session that the scope commits, rather than plain MikroORM. */
  get isAutomatic (): boolean {
    return this.#participants?.isAutomatic === true
  }

  /** Whether anything but plain reads has gone through the scope's transactions. */
  get hasWritten (): boolean {
    return this.#participants?.hasWritten === true
  }

  /** Whether a statement runs, or waits to be run. */
  get isBusy (): boolean {
    return this.#participants?.isBusy === true
  }

  /** Whether a commit would change anything: in a database, or by what waits for it. */
  get hasWork (): boolean {
    return this.#participants?.hasWork === true || this.#callbacks?.isEmpty === false
  }

  /** Whether something was changed after its commit. */
  get hasLost (): boolean {
    return this.#state === 'committed' && this.#participants?.hasLost === true
  }

  hasSession (database: SessionDatabase): boolean {
    return this.#participants?.find(database) !== undefined
  }

  /**
   * The session of one database, made now if there is none.
   * @throws ScopeClosedError once closed
   */
  session (database: SessionDatabase): EntityManager {
    if (this.#isOver) throw scopeIs('closed')
    return (this.#participants?.find(database) ?? this.#join(database)).em
  }

  /** Writes what is pending in the sessions that the scope commits. Where nothing is, there is nothing to wait for. */
  flush (): Promise<void> | undefined {
    return this.#participants?.flush()
  }

  /**
   * Flushes and commits now; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   * @throws RollbackOnlyError when the scope is doomed
   * @throws what the flush or a COMMIT throws; everything since the last commit is then rolled back, and nothing goes through until `rollback()`
   */
  async commit (): Promise<void> {
    this.#assertOpen()
    if (this.#participants === undefined && this.#callbacks === undefined) return
    if (this.#isRollbackOnly) throw new RollbackOnlyError('db.setRollbackOnly() was called')
    await this.#callBackAfter('commit', this.#participants?.commit())
    this.#hasCommitted = true
  }

  /**
   * Rolls back now and forgets every entity; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  async rollback (): Promise<void> {
    this.#assertOpen()
    await this.#callBackAfter('rollback', this.#participants?.rollback())
  }

  /** Dooms it: from now on it can only roll back. */
  setRollbackOnly (): void {
    this.#isRollbackOnly = true
  }

  /** Closes the session of one database, rolling back what is open; the next use makes a new one. */
  async remove (database: SessionDatabase): Promise<void> {
    await this.#participants?.remove(database)
    this.#callBack('rollback', other => other === database)
  }

  /**
   * Has `work` done after the outcome, or after the transaction inside the scope that the database's session is in now.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  after (outcome: Outcome, database: SessionDatabase, work: AfterWork): void {
    this.#assertOpen()
    const callbacks = this.#participants?.find(database)?.callbacks ?? this.openCallbacks()
    callbacks.add({ outcome, database, work })
    this.#isInUse()
  }

  /** What waits for the outcome. */
  openCallbacks (): OutcomeCallbacks {
    this.#callbacks ??= new OutcomeCallbacks()
    return this.#callbacks
  }

  /** A transaction that a session has begun by itself is over, and what waited for it waits no longer. */
  ended (database: SessionDatabase, callbacks: OutcomeCallbacks, outcome: Outcome): void {
    if (outcome === 'commit') this.#hasCommitted = true
    if (!callbacks.isEmpty) this.host.after(callbacks.take(outcome, this.#info, other => other === database), this.#owner.log)
  }

  /**
   * Carries out the outcome, once: later calls give the first one's result. Without a session, or where all have only read, there
   * is nothing to wait for.
   * @param ready what a commit waits for after the flush, unless a session is used again
   * @throws what stops the commit; the outcome is then a rollback
   * @throws ScopeClosedError, once, when a commit is asked of a scope that was destroyed
   */
  end (outcome: Outcome, ready?: Ready): Promise<void> | undefined {
    if (this.#state === 'destroyed') {
      this.#enter('closed')
      if (outcome === 'commit') this.#ending = Promise.reject(scopeIs('closed'))
    } else if (this.#state === 'open') {
      const participants = this.#participants
      if (participants === undefined || participants.endAtRest(outcome)) {
        this.#enter(ENDED[outcome])
        this.#callBack(outcome, database => this.#commits(database))
      } else this.#ending = this.#end(participants, outcome, ready)
    }
    return this.#ending
  }

  /**
   * Closes the scope: rolls back what is open, gives the connections back, refuses every later use. Never throws.
   * Idempotent. Where nothing is open there is nothing to wait for.
   */
  close (): Promise<void> | undefined {
    this.#closing ??= this.#state === 'ending' ? this.#closeLater() : this.#close()
    return this.#closing
  }

  /** Asks the servers to stop the statements that run now, rolls back, and closes. An outcome under way is left alone. */
  async cancel (): Promise<void> {
    try {
      if (this.#state !== 'open') return
      // Plain MikroORM has nothing that it would still commit.
      this.#enter(this.isAutomatic ? 'destroyed' : 'closed')
      await Promise.all([this.#participants?.endWithRollback(), this.#participants?.cancel()])
    } finally {
      await this.close()
    }
  }

  /** Cancels and closes at once, an outcome under way included: one that still waits for something other than the server is a rollback. */
  async destroy (): Promise<void> {
    this.#owner.destroyed?.(scopeIs('closed'))
    await Promise.all([this.cancel(), this.close()])
  }

  /** The one way into `ending`, and the ways out of it: it is left whatever is thrown. */
  async #end (participants: Participants, outcome: Outcome, ready?: Ready): Promise<void> {
    this.#enter('ending')
    let left: ScopeState = 'rolled back'
    try {
      const work = (outcome === 'commit' ? participants.endWithCommit(ready) : participants.endWithRollback()).then(() => { left = ENDED[outcome] })
      await this.#callBackAfter(outcome, work, database => this.#commits(database))
    } catch (error) {
      await participants.endWithRollback()
      throw error
    } finally {
      this.#enter(left)
    }
  }

  async #closeLater (): Promise<void> {
    // Whoever asked for the outcome gets its error.
    await this.#ending?.catch(() => undefined)
    await this.#close()
  }

  #close (): Promise<void> | undefined {
    const wasCommitted = this.#state === 'committed'
    this.#parent = undefined
    // What was destroyed stays so until somebody was told.
    if (!this.#isOver) this.#enter('closed')
    let closed: Promise<void> | undefined
    try {
      closed = this.#participants?.close(wasCommitted)
    } finally {
      if (closed === undefined) this.#closed()
    }
    return closed?.then(() => this.#closed())
  }

  /** Nothing is open any more. What has waited for an outcome in vain was not committed. */
  #closed (): void {
    this.#callBack('rollback')
    this.host.closed(this)
  }

  #join (database: SessionDatabase): Participant {
    if (this.host.isClosed) throw new ScopeClosedError('the application is closed')
    const participant = new Participant(database, {
      forkOptions: this.#owner.forkOptions(database),
      transactionSettings: this.#owner.transactionSettings(database),
      owner: this,
      report: err => this.#owner.log.error({ err }, TEARDOWN_FAILED)
    })
    this.#participants ??= new Participants(this.#info, () => this.#owner.log)
    this.#participants.add(participant)
    debug('session made: of database %s', database.name)
    if (this.#state === 'rolled back' || (this.#state !== 'open' && participant.isAutomatic)) void participant.transactions.end(this.#state)
    this.#isInUse()
    return participant
  }

  #isInUse (): void {
    this.host.opened(this)
    this.#owner.opened?.()
  }

  /** Whether the outcome of the scope is that of a database. Plain MikroORM waits for a commit by hand. */
  #commits (database: SessionDatabase): boolean {
    return this.#participants?.find(database)?.isAutomatic ?? this.#owner.transactionSettings(database).mode === 'automatic'
  }

  /** Waits for an outcome to be carried out, and starts what waits for it. */
  async #callBackAfter (outcome: Outcome, work: Promise<void> | undefined, isMeant?: (database: SessionDatabase) => boolean): Promise<void> {
    try {
      await work
    } catch (error) {
      if (isInDoubt(error)) this.#dropCallbacks(error)
      else this.#callBack('rollback')
      throw error
    }
    this.#callBack(outcome, isMeant)
  }

  #callBack (outcome: Outcome, isMeant?: (database: SessionDatabase) => boolean): void {
    if (this.#callbacks !== undefined) this.host.after(this.#callbacks.take(outcome, this.#info, isMeant), this.#owner.log, this.#participants?.rolledBack)
  }

  #dropCallbacks (err: unknown): void {
    this.#hasCommitted = true
    const dropped = this.#callbacks?.drop() ?? 0
    if (dropped > 0) this.#owner.log.error({ err, dropped }, 'work after the outcome of a database scope is not done: nobody knows the outcome')
  }

  get #info (): ScopeInfo {
    const { kind, request } = this.#owner
    return { kind, request }
  }

  #assertOpen (): void {
    if (this.#state !== 'open') throw scopeIs(this.#isOver ? 'closed' : this.#state)
  }

  #enter (state: ScopeState): void {
    debug('scope %s: %s', state, this.#owner.kind)
    this.#state = transition(TRANSITIONS, this.#state, state, () => this.#owner.log)
  }
}
