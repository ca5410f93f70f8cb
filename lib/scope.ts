import type { EntityManager, ForkOptions, MikroORM } from '@mikro-orm/core'
import { RollbackOnlyError, ScopeClosedError, scopeIs } from './errors.ts'
import { COMPLETED, transition, type Outcome, type ScopeState } from './scope-state.ts'
import { openSession, type Session, type SessionOwner } from './session.ts'
import type { Ready, TransactionRules } from './transaction/rules.ts'
import { countUnflushed } from './unflushed.ts'

/** Where a scope reports what nobody waits for. Fastify's loggers fit. */
export interface Log {
  warn (details: object, message: string): void
  error (details: object, message: string): void
}

/** What a scope belongs to. */
export interface ScopeHost {
  readonly orm: MikroORM
  /** Whether it takes no new sessions any more. */
  readonly isClosed: boolean
  /** The scope has something to clean up from now on. May be called more than once. */
  opened (scope: Scope): void
  closed (scope: Scope): void
}

/** What scopes are made for, in the plural of the log. */
export type ScopeKind = 'requests' | 'db.run' | 'db.open'

/** What a scope is made for. Asked when the session is first needed, so that a scope that needs none costs nothing. */
export interface ScopePurpose {
  readonly kind: ScopeKind
  readonly log: Log
  transactionRules (): TransactionRules
  forkOptions (): ForkOptions
  /** The scope has a session now. */
  opened? (): void
  /** The scope is ended by force, because of `error`. */
  ended? (error: Error): void
}

/**
 * One unit of work: a request, or one `db.run()`. Holds at most one session, made on first use, and goes once through
 * the states of scope-state.ts. Completing and disposing are idempotent: Fastify may call `onSend` twice, and `onResponse` never.
 */
export class Scope implements SessionOwner {
  readonly host: ScopeHost
  readonly #purpose: ScopePurpose
  #state: ScopeState = 'open'
  #session: Session | undefined
  #isRollbackOnly = false
  #completion: Promise<void> | undefined
  #disposal: Promise<void> | undefined

  constructor (host: ScopeHost, purpose: ScopePurpose) {
    this.host = host
    this.#purpose = purpose
  }

  get kind (): ScopeKind {
    return this.#purpose.kind
  }

  get state (): ScopeState {
    return this.#state
  }

  get hasSession (): boolean {
    return this.#session !== undefined
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

  /**
   * The session, made now if there is none.
   * @throws ScopeClosedError once closed
   */
  get session (): EntityManager {
    if (this.#isOver) throw scopeIs('closed')
    return (this.#session ?? this.#open()).em
  }

  /** Whether the unit of work is one transaction, or plain MikroORM. */
  get isAutomatic (): boolean {
    return this.#session?.transactions.isAutomatic === true
  }

  /** Whether anything but plain reads has gone through the scope's transaction. */
  get hasWritten (): boolean {
    return this.#session?.transactions.hasWritten === true
  }

  /** Writes what is pending, without committing it. */
  async flush (): Promise<void> {
    await this.#session?.em.flush()
  }

  /**
   * Flushes and commits now; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   * @throws RollbackOnlyError when the scope is doomed
   * @throws what the flush or the COMMIT throws; everything since the last commit is then rolled back
   */
  async commit (): Promise<void> {
    this.#assertOpen()
    if (this.#session === undefined) return
    if (this.#isRollbackOnly) throw new RollbackOnlyError('db.setRollbackOnly() was called')
    await this.#commit(this.#session)
  }

  /**
   * Rolls back now and forgets every entity; the next statement begins a new transaction.
   * @throws ScopeClosedError once the outcome is there, or the scope is over
   */
  async rollback (): Promise<void> {
    this.#assertOpen()
    if (this.#session === undefined) return
    await this.#rollback(this.#session)
  }

  /** From now on the scope can only roll back. */
  setRollbackOnly (): void {
    this.#isRollbackOnly = true
  }

  /** Drops the session, rolling back what is open; the next use makes a new one. */
  async remove (): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.transactions.close()
  }

  /**
   * Carries out the outcome, once: later calls give the first one's result. Without a session there is nothing to wait for.
   * @param ready what a commit waits for after the flush, unless the session is used again
   * @throws what stops the commit; the outcome is then a rollback
   * @throws ScopeClosedError, once, when a commit is asked of a scope that was ended by force
   */
  complete (outcome: Outcome, ready?: Ready): Promise<void> | undefined {
    if (this.#state === 'ended') {
      this.#enter('closed')
      if (outcome === 'commit') this.#completion = Promise.reject(scopeIs('closed'))
    } else if (this.#state === 'open') {
      this.#enter('completing')
      if (this.#session === undefined) this.#enter(COMPLETED[outcome])
      else this.#completion = this.#complete(this.#session, outcome, ready)
    }
    return this.#completion
  }

  /**
   * Closes the scope: rolls back what is open, gives the connection back, refuses every later use. Never throws.
   * Idempotent. Without a session there is nothing to wait for.
   */
  dispose (): Promise<void> | undefined {
    if (this.#session !== undefined) this.#disposal ??= this.#dispose(this.#session)
    else if (this.#disposal === undefined) this.#close()
    return this.#disposal
  }

  /** Takes an error that nobody waits for. */
  report (err: unknown): void {
    this.#purpose.log.error({ err }, 'teardown of a database scope failed')
  }

  /** Asks the server to stop the statements that run now, rolls back, and disposes of the scope. An outcome under way is left alone. */
  async cancel (): Promise<void> {
    if (this.#state === 'open') {
      const session = this.#session
      // Plain MikroORM has nothing that it would still commit.
      this.#enter(this.isAutomatic ? 'ended' : 'closed')
      const rolledBack = session === undefined ? undefined : this.#abandon(session)
      await this.#reported(session?.transactions.cancel())
      await this.#reported(rolledBack)
    }
    await this.dispose()
  }

  /** Cancels and disposes at once, an outcome under way included: one that still waits for something other than the server is a rollback. */
  async end (): Promise<void> {
    this.#purpose.ended?.(scopeIs('closed'))
    void this.cancel()
    await this.dispose()
  }

  async #complete (session: Session, outcome: Outcome, ready?: Ready): Promise<void> {
    try {
      if (outcome === 'commit') await this.#commitAndSettle(session, ready)
      else await this.#abandon(session)
    } catch (error) {
      await session.transactions.settle('rolled back')
      this.#enter('rolled back')
      throw error
    }
    this.#enter(COMPLETED[outcome])
  }

  /** Plain MikroORM goes on until it is disposed of: nothing is committed or refused on its behalf. */
  async #commitAndSettle (session: Session, ready?: Ready): Promise<void> {
    if (!session.transactions.isAutomatic) return
    await this.#commit(session, ready, 'committed')
    await session.transactions.settle('committed')
  }

  /** What is running may take long; nobody has to wait for it, since it cannot be committed any more. */
  async #abandon ({ transactions }: Session): Promise<void> {
    const { isBusy } = transactions
    const settled = this.#reported(transactions.settle('rolled back'))
    if (!isBusy) await settled
  }

  async #commit (session: Session, ready?: Ready, outcome?: string): Promise<void> {
    const { em, transactions } = session
    try {
      if (transactions.isAutomatic) {
        await em.flush()
        await transactions.commit(ready, outcome)
      } else if (em.isInTransaction()) await em.commit()
      else await em.flush()
    } catch (error) {
      await this.#rollback(session)
      throw error
    }
  }

  async #rollback ({ em, transactions }: Session): Promise<void> {
    if (transactions.isAutomatic) await transactions.rollback()
    else if (em.isInTransaction()) await em.rollback()
    em.clear()
  }

  async #dispose (session: Session): Promise<void> {
    // Whoever asked for the outcome gets its error.
    await this.#completion?.catch(() => undefined)
    if (!session.transactions.isAutomatic) this.#warnOfUnflushed(session.em)
    const closed = this.#reported(session.transactions.close())
    // Work that outlives the scope keeps it, through the asynchronous context, but not what the session has loaded.
    this.#session = undefined
    this.#leave()
    await closed
    this.host.closed(this)
  }

  #close (): void {
    this.#leave()
    this.host.closed(this)
  }

  /** What was ended by force stays so until somebody was told. */
  #leave (): void {
    if (this.#state !== 'ended') this.#enter('closed')
  }

  #warnOfUnflushed (em: EntityManager): void {
    try {
      const unflushed = countUnflushed(em)
      if (Object.keys(unflushed).length > 0) this.#purpose.log.warn({ unflushed }, 'unflushed changes were dropped at the end of their scope')
    } catch (err) {
      this.#purpose.log.warn({ err }, 'unflushed changes were dropped at the end of their scope, and could not be counted')
    }
  }

  /** At teardown there is nobody to throw to. */
  async #reported (work: Promise<void> | undefined): Promise<void> {
    try {
      await work
    } catch (err) {
      this.report(err)
    }
  }

  #open (): Session {
    if (this.host.isClosed) throw new ScopeClosedError('the application is closed')
    const session = openSession(this.host.orm, this.#purpose.forkOptions(), this.#purpose.transactionRules(), this)
    this.#session = session
    if (this.#state === 'rolled back' || (this.#state !== 'open' && session.transactions.isAutomatic)) void session.transactions.settle(this.#state)
    this.host.opened(this)
    this.#purpose.opened?.()
    return session
  }

  #assertOpen (): void {
    if (this.#state !== 'open') throw scopeIs(this.#isOver ? 'closed' : this.#state)
  }

  #enter (state: ScopeState): void {
    this.#state = transition(this.#state, state)
  }
}
