import type { EntityManager } from '@mikro-orm/core'
import { OutcomeCallbacks, type AfterWork } from '../events/callbacks.ts'
import type { SessionOwner } from '../session/binding.ts'
import { isInDoubt } from '../errors/causes.ts'
import { RollbackOnlyError, ScopeClosedError, scopeIs } from '../errors/errors.ts'
import type { ScopeHost, ScopeOwner } from './contracts.ts'
import type { Outcome, ScopeInfo, ScopeKind } from '../types.ts'
import { COMPLETED, transition, type ScopeState } from './state.ts'
import type { SessionDatabase } from '../events/session-database.ts'
import { Session } from '../session/session.ts'
import { Sessions, TEARDOWN_FAILED } from './sessions.ts'
import type { Ready } from '../transaction/prepared-commit.ts'

/**
 * One unit of work: a request, or one `db.run()`. Holds at most one session for each database, made on first use, and goes once
 * through the states of scope-state.ts. Completing and disposing are idempotent: Fastify may call `onSend` twice, and
 * `onResponse` never.
 */
export class Scope implements SessionOwner {
  readonly host: ScopeHost
  readonly #owner: ScopeOwner
  #parent: Scope | undefined
  #state: ScopeState = 'open'
  /** None until the first session is made. */
  #sessions: Sessions | undefined
  /** None until something waits for the outcome. */
  #callbacks: OutcomeCallbacks | undefined
  #isRollbackOnly = false
  #hasCommitted = false
  #completion: Promise<void> | undefined
  #disposal: Promise<void> | undefined

  /** @param parent the scope that it is opened in */
  constructor (host: ScopeHost, owner: ScopeOwner, parent: Scope | undefined) {
    this.host = host
    this.#owner = owner
    this.#parent = parent
  }

  /** Itself: what has it for its source is in it. */
  get scope (): this {
    return this
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

  get isDisposed (): boolean {
    return this.#disposal !== undefined || this.#isOver
  }

  get #isOver (): boolean {
    return this.#state === 'ended' || this.#state === 'closed'
  }

  get isRollbackOnly (): boolean {
    return this.#isRollbackOnly
  }

  /** Whether it has had a session, of whichever database. */
  get isUsed (): boolean {
    return this.#sessions !== undefined
  }

  /** Whether something of it is in a database already, or may be: by a commit by hand, a transaction of its own, or a session that the scope does not commit. */
  get hasCommitted (): boolean {
    return this.#hasCommitted || this.#sessions?.hasWrittenByHand === true
  }

  hasSession (database: SessionDatabase): boolean {
    return this.#sessions?.find(database) !== undefined
  }

  /**
   * The session of one database, made now if there is none.
   * @throws ScopeClosedError once closed
   */
  session (database: SessionDatabase): EntityManager {
    if (this.#isOver) throw scopeIs('closed')
    return (this.#sessions?.find(database) ?? this.#open(database)).em
  }

  /** Whether there is a session that the scope commits, rather than plain MikroORM. */
  get isAutomatic (): boolean {
    return this.#sessions?.isAutomatic === true
  }

  /** Whether anything but plain reads has gone through the scope's transactions. */
  get hasWritten (): boolean {
    return this.#sessions?.hasWritten === true
  }

  /** Writes what is pending in the sessions that the scope commits. Where nothing is, there is nothing to wait for. */
  flush (): Promise<void> | undefined {
    return this.#sessions?.flush()
  }

  /**
   * Flushes and commits now; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   * @throws RollbackOnlyError when the scope is doomed
   * @throws what the flush or a COMMIT throws; everything since the last commit is then rolled back
   */
  async commit (): Promise<void> {
    this.#assertOpen()
    if (this.#isUntouched) return
    if (this.#isRollbackOnly) throw new RollbackOnlyError('db.setRollbackOnly() was called')
    await this.#settled('commit', this.#sessions?.commit())
    this.#hasCommitted = true
  }

  /**
   * Rolls back now and forgets every entity; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  async rollback (): Promise<void> {
    this.#assertOpen()
    await this.#settled('rollback', this.#sessions?.rollback())
  }

  /** From now on the scope can only roll back. */
  setRollbackOnly (): void {
    this.#isRollbackOnly = true
  }

  /** Drops the session of one database, rolling back what is open; the next use makes a new one. */
  async remove (database: SessionDatabase): Promise<void> {
    await this.#sessions?.remove(database)
    this.#settle('rollback', other => other === database)
  }

  /**
   * Has `work` done after the outcome, or after the transaction inside the scope that the database's session is in now.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  after (outcome: Outcome, database: SessionDatabase, work: AfterWork): void {
    this.#assertOpen()
    const callbacks = this.#sessions?.find(database)?.callbacks ?? this.callbacks
    callbacks.add({ outcome, database, work })
    this.#isInUse()
  }

  /** What waits for the outcome. */
  get callbacks (): OutcomeCallbacks {
    this.#callbacks ??= new OutcomeCallbacks()
    return this.#callbacks
  }

  /** A transaction that a session has begun by itself is over, and what waited for it waits no longer. */
  ended (database: SessionDatabase, callbacks: OutcomeCallbacks, outcome: Outcome): void {
    if (outcome === 'commit') this.#hasCommitted = true
    if (!callbacks.isEmpty) this.host.after(callbacks.settle(outcome, this.#info, other => other === database), this.#owner.log)
  }

  /**
   * Carries out the outcome, once: later calls give the first one's result. Without a session, or where all have only read, there
   * is nothing to wait for.
   * @param ready what a commit waits for after the flush, unless a session is used again
   * @throws what stops the commit; the outcome is then a rollback
   * @throws ScopeClosedError, once, when a commit is asked of a scope that was ended by force
   */
  complete (outcome: Outcome, ready?: Ready): Promise<void> | undefined {
    if (this.#state === 'ended') {
      this.#enter('closed')
      if (outcome === 'commit') this.#completion = Promise.reject(scopeIs('closed'))
    } else if (this.#state === 'open') {
      const sessions = this.#sessions
      // Before the state that has to be left again, whatever is thrown.
      const isSettled = sessions === undefined || sessions.settleAtRest(outcome)
      this.#enter('completing')
      if (isSettled) {
        this.#enter(COMPLETED[outcome])
        this.#settle(outcome, database => this.#commits(database))
      } else this.#completion = this.#complete(sessions, outcome, ready)
    }
    return this.#completion
  }

  /**
   * Closes the scope: rolls back what is open, gives the connections back, refuses every later use. Never throws.
   * Idempotent. Where nothing is open there is nothing to wait for.
   */
  dispose (): Promise<void> | undefined {
    this.#disposal ??= this.#state === 'completing' ? this.#disposeLater() : this.#dispose()
    return this.#disposal
  }

  /** Asks the servers to stop the statements that run now, rolls back, and disposes of the scope. An outcome under way is left alone. */
  async cancel (): Promise<void> {
    if (this.#state === 'open') {
      // Plain MikroORM has nothing that it would still commit.
      this.#enter(this.isAutomatic ? 'ended' : 'closed')
      const rolledBack = this.#sessions?.abandon()
      await this.#sessions?.cancel()
      await rolledBack
    }
    await this.dispose()
  }

  /** Cancels and disposes at once, an outcome under way included: one that still waits for something other than the server is a rollback. */
  async end (): Promise<void> {
    this.#owner.ended?.(scopeIs('closed'))
    void this.cancel()
    await this.dispose()
  }

  async #complete (sessions: Sessions, outcome: Outcome, ready?: Ready): Promise<void> {
    try {
      await this.#settled(outcome, outcome === 'commit' ? sessions.commitAndSettle(ready) : sessions.abandon(), database => this.#commits(database))
    } catch (error) {
      await sessions.settle()
      this.#enter('rolled back')
      throw error
    }
    this.#enter(COMPLETED[outcome])
  }

  async #disposeLater (): Promise<void> {
    // Whoever asked for the outcome gets its error.
    await this.#completion?.catch(() => undefined)
    await this.#dispose()
  }

  #dispose (): Promise<void> | undefined {
    const closed = this.#sessions?.close()
    this.#leave()
    if (closed !== undefined) return closed.then(() => this.#forget())
    this.#forget()
    return undefined
  }

  /** What was ended by force stays so until somebody was told. */
  #leave (): void {
    this.#parent = undefined
    if (this.#state !== 'ended') this.#enter('closed')
  }

  /** Nothing is open any more. What has waited for an outcome in vain was not committed. */
  #forget (): void {
    this.#settle('rollback')
    this.host.closed(this)
  }

  /** Waits for an outcome to be carried out, and starts what waits for it. */
  async #settled (outcome: Outcome, work: Promise<void> | undefined, isMeant?: (database: SessionDatabase) => boolean): Promise<void> {
    try {
      await work
    } catch (error) {
      if (isInDoubt(error)) this.#drop(error)
      else this.#settle('rollback')
      throw error
    }
    this.#settle(outcome, isMeant)
  }

  /** Whether the outcome of the scope is that of a database. Plain MikroORM waits for a commit by hand. */
  #commits (database: SessionDatabase): boolean {
    return this.#sessions?.find(database)?.isAutomatic ?? this.#owner.transactionRules(database).mode === 'automatic'
  }

  #settle (outcome: Outcome, isMeant?: (database: SessionDatabase) => boolean): void {
    if (this.#callbacks !== undefined) this.host.after(this.#callbacks.settle(outcome, this.#info, isMeant), this.#owner.log, this.#sessions?.rolledBack)
  }

  #drop (err: unknown): void {
    this.#hasCommitted = true
    const dropped = this.#callbacks?.drop() ?? 0
    if (dropped > 0) this.#owner.log.error({ err, dropped }, 'work after the outcome of a database scope is not done: nobody knows the outcome')
  }

  get #info (): ScopeInfo {
    const { kind, request } = this.#owner
    return { kind, request }
  }

  /** Whether there is nothing to commit. */
  get #isUntouched (): boolean {
    return this.#sessions === undefined && this.#callbacks === undefined
  }

  #isInUse (): void {
    this.host.opened(this)
    this.#owner.opened?.()
  }

  #open (database: SessionDatabase): Session {
    if (this.host.isClosed) throw new ScopeClosedError('the application is closed')
    const session = new Session(database, {
      forkOptions: this.#owner.forkOptions(database),
      transactionRules: this.#owner.transactionRules(database),
      owner: this,
      report: err => this.#owner.log.error({ err }, TEARDOWN_FAILED)
    })
    this.#sessions ??= new Sessions(this.#info, () => this.#owner.log)
    this.#sessions.add(session)
    if (this.#state === 'rolled back' || (this.#state !== 'open' && session.isAutomatic)) void session.transactions.settle(this.#state)
    this.#isInUse()
    return session
  }

  #assertOpen (): void {
    if (this.#state !== 'open') throw scopeIs(this.#isOver ? 'closed' : this.#state)
  }

  #enter (state: ScopeState): void {
    this.#state = transition(this.#state, state)
  }
}
