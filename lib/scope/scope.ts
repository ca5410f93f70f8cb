import type { EntityManager } from '@mikro-orm/core'
import { debug } from '../debug.ts'
import { RollbackOnlyError, ScopeClosedError, scopeIs } from '../errors/errors.ts'
import type { AfterWork } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { SessionOwner } from '../session/nesting.ts'
import { Participant } from '../session/participant.ts'
import type { Ready } from '../transaction/contracts.ts'
import { transition } from '../transition.ts'
import type { Decision, Outcome, ScopeInfo, ScopeKind } from '../types.ts'
import type { ScopeHost, ScopeOwner, ScopeStatus } from './contracts.ts'
import { TEARDOWN_FAILED } from './notifications.ts'
import { Outcomes } from './outcomes.ts'
import { Participants } from './participants.ts'
import { ScopeReport } from './report.ts'
import { ENDED, TRANSITIONS, type ScopeState } from './state.ts'

/**
 * One unit of work: a request, or one `db.run()`. Holds at most one session for each database, made on first use, and goes once
 * through the states of state.ts. Ending and closing are idempotent: Fastify may call `onSend` twice, and `onResponse` never.
 */
export class Scope implements SessionOwner, ScopeStatus {
  index = -1
  readonly host: ScopeHost
  readonly info: ScopeInfo
  readonly outcomes: Outcomes
  readonly report: ScopeReport
  readonly #owner: ScopeOwner
  readonly #participants: Participants
  #parent: Scope | undefined
  #state: ScopeState = 'open'
  #isRollbackOnly = false
  /** What `end()` has given, while there was something to wait for. */
  #ending: Promise<void> | undefined
  /** What `close()` has given; null where there was nothing to wait for. */
  #closing: Promise<void> | null | undefined

  /** @param parent the scope that it is opened in */
  constructor (host: ScopeHost, owner: ScopeOwner, parent: Scope | undefined, attempt = 1) {
    this.host = host
    this.#owner = owner
    this.#parent = parent
    this.info = { kind: owner.kind, request: owner.request }
    this.#participants = new Participants(this.info, () => owner.log)
    this.outcomes = new Outcomes(host, owner, this.info, this.#participants)
    this.report = new ScopeReport(owner, this.info, host, attempt)
    debug('scope opened: %s', owner.kind)
  }

  /** Itself: what has it for its source is in it. */
  openScope (): this { return this }
  isOwnedBy (owner: ScopeOwner): boolean { return this.#owner === owner }
  get parent (): Scope | undefined { return this.#parent }
  get kind (): ScopeKind { return this.#owner.kind }
  get state (): ScopeState { return this.#state }
  get isClosed (): boolean { return this.#closing !== undefined || this.#isOver }
  get isRollbackOnly (): boolean { return this.#isRollbackOnly }
  get isUsed (): boolean { return this.#participants.isUsed }
  get hasCommitted (): boolean { return this.outcomes.hasCommitted || this.#participants.hasWrittenByHand }
  get isAutomatic (): boolean { return this.#participants.isAutomatic }
  get hasWritten (): boolean { return this.#participants.hasWritten }
  get isBusy (): boolean { return this.#participants.isBusy }
  hasWork (): boolean { return this.#participants.hasWork() || !this.outcomes.isEmpty }
  hasLost (): boolean { return this.#state === 'committed' && this.#participants.hasLost() }
  get #isOver (): boolean { return this.#state === 'destroyed' || this.#state === 'closed' }
  hasSession (database: SessionDatabase): boolean { return this.#participants.find(database) !== undefined }

  /**
   * The session of one database, made now if there is none.
   * @throws ScopeClosedError once closed
   */
  session (database: SessionDatabase): EntityManager {
    if (this.#isOver) throw scopeIs('closed')
    return (this.#participants.find(database) ?? this.#join(database)).em
  }

  /** Remembers why its outcome is going to be this one. */
  explain (decision: Decision): void {
    debug('outcome: %s, %s', decision.outcome, decision.reason)
    this.report.explain(decision, () => this.#participants.hasChanges())
  }

  /** Writes what is pending in the sessions that the scope commits. Where nothing is, there is nothing to wait for. */
  flush (): Promise<void> | undefined {
    return this.#participants.flush()
  }

  /**
   * Flushes and commits now; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   * @throws RollbackOnlyError when the scope is doomed
   * @throws what the flush or a COMMIT throws; everything since the last commit is then rolled back, and nothing goes through until `rollback()`
   */
  async commit (): Promise<void> {
    this.#assertOpen()
    if (!this.isUsed && !this.outcomes.isUsed) return
    if (this.#isRollbackOnly) throw new RollbackOnlyError('db.setRollbackOnly() was called')
    await this.outcomes.byHand('commit', this.isUsed ? this.#participants.commit() : undefined)
  }

  /**
   * Rolls back now and forgets every entity; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  async rollback (): Promise<void> {
    this.#assertOpen()
    await this.outcomes.byHand('rollback', this.isUsed ? this.#participants.rollback() : undefined)
  }

  /** Dooms it: from now on it can only roll back. */
  setRollbackOnly (): void {
    this.#isRollbackOnly = true
  }

  /** Closes the session of one database, rolling back what is open; the next use makes a new one. */
  async remove (database: SessionDatabase): Promise<void> {
    await this.#participants.remove(database)
    this.outcomes.start('rollback', other => other === database)
  }

  /**
   * Has `work` done after the outcome, or after the transaction inside the scope that the database's session is in now.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  after (outcome: Outcome, database: SessionDatabase, work: AfterWork): void {
    this.#assertOpen()
    this.outcomes.add(outcome, database, work)
    this.#isInUse()
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
      if (this.#participants.endAtRest(outcome)) {
        this.#enter(ENDED[outcome])
        this.outcomes.startLast(outcome)
      } else this.#ending = this.#end(outcome, ready)
    }
    return this.#ending
  }

  /**
   * Closes the scope: rolls back what is open, gives the connections back, refuses every later use. Never throws.
   * Idempotent. Where nothing is open there is nothing to wait for.
   */
  close (): Promise<void> | undefined {
    if (this.#closing === undefined) {
      this.#closing = null
      this.#closing = (this.#state === 'ending' ? this.#closeLater() : this.#close()) ?? null
    }
    return this.#closing ?? undefined
  }

  /** The time limit of the work is over. A COMMIT under way wins, but does not wait for a server that says nothing. */
  expire (): void {
    if (this.#state === 'ending') this.#participants.expire()
  }

  /** Asks the servers to stop the statements that run now, rolls back, and closes. An outcome under way is left alone. */
  async cancel (reason: string): Promise<void> {
    try {
      if (this.#state !== 'open') return
      this.explain({ outcome: 'rollback', reason })
      // Plain MikroORM has nothing that it would still commit.
      this.#enter(this.isAutomatic ? 'destroyed' : 'closed')
      await Promise.all([this.#participants.endWithRollback(), this.#participants.cancel()])
    } finally {
      await this.close()
    }
  }

  /** Cancels and closes at once, an outcome under way included: one that still waits for something other than the server is a rollback. */
  async destroy (): Promise<void> {
    this.#owner.destroyed?.(scopeIs('closed'))
    await Promise.all([this.cancel('closeTimeout is over'), this.close()])
  }

  /** The one way into `ending`, and the ways out of it: it is left whatever is thrown. */
  async #end (outcome: Outcome, ready?: Ready): Promise<void> {
    this.#enter('ending')
    let left: ScopeState = 'rolled back'
    try {
      const work = outcome === 'commit' ? this.#participants.endWithCommit(ready) : this.#participants.endWithRollback()
      await this.outcomes.last(outcome, work.then(() => { left = ENDED[outcome] }))
    } catch (error) {
      this.report.failed(error)
      await this.#participants.endWithRollback()
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
      closed = this.#participants.close(wasCommitted)
    } finally {
      if (closed === undefined) this.#closed()
    }
    return closed?.then(() => this.#closed())
  }

  /** Nothing is open any more. What has waited for an outcome in vain was not committed. */
  #closed (): void {
    this.outcomes.start('rollback')
    this.report.tell(this.hasCommitted)
    this.host.closed(this)
  }

  #join (database: SessionDatabase): Participant {
    if (this.host.isClosed) throw new ScopeClosedError('the application is closed')
    const settings = this.#owner.transactionSettings(database)
    const participant = new Participant(database, {
      forkOptions: this.#owner.forkOptions(database),
      transactionSettings: { ...settings, usage: this.report.usage, origin: this.report.joined(database, settings.pool) },
      owner: this,
      report: err => this.#owner.log.error({ err }, TEARDOWN_FAILED)
    })
    this.#participants.add(participant)
    if (this.#state === 'rolled back' || (this.#state !== 'open' && participant.isAutomatic)) void participant.transactions.end(this.#state)
    this.#isInUse()
    return participant
  }

  #isInUse (): void {
    this.host.opened(this)
    this.#owner.opened?.()
  }

  #assertOpen (): void {
    if (this.#state !== 'open') throw scopeIs(this.#isOver ? 'closed' : this.#state)
  }

  #enter (state: ScopeState): void {
    debug('scope %s: %s', state, this.#owner.kind)
    this.#state = transition(TRANSITIONS, this.#state, state, this.#owner)
    this.report.entered(state)
  }
}
