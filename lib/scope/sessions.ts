import { commitTogether, reportOf } from './two-phase-commit.ts'
import type { Log, Outcome, ScopeInfo } from '../types.ts'
import { COMPLETED } from './state.ts'
import type { SessionDatabase } from '../events/session-database.ts'
import type { Session } from '../session/session.ts'
import type { Ready } from '../transaction/prepared-commit.ts'

/** The sessions of one scope, at most one for each database. They share one outcome. */
export class Sessions {
  readonly #info: ScopeInfo
  readonly #log: () => Log
  #all: readonly Session[] = []
  #rolledBack: Promise<unknown> | undefined

  /**
   * @param info what the scope is for
   * @param log where to report what nobody waits for
   */
  constructor (info: ScopeInfo, log: () => Log) {
    this.#info = info
    this.#log = log
  }

  /** The session of a database, if it has one. */
  find (database: SessionDatabase): Session | undefined {
    return this.#all.find(session => session.database === database)
  }

  add (session: Session): void {
    this.#all = [...this.#all, session]
    this.#tell('opened', session)
  }

  /** The ones that the scope commits. All others are plain MikroORM. */
  get #automatic (): readonly Session[] {
    return this.#all.filter(({ isAutomatic }) => isAutomatic)
  }

  /** Whether there is one that the scope commits. */
  get isAutomatic (): boolean {
    return this.#automatic.length > 0
  }

  /** Whether anything but plain reads has gone through the transactions of those that the scope commits. */
  get hasWritten (): boolean {
    return this.#automatic.some(({ transactions }) => transactions.hasWritten)
  }

  /** Whether one of the others has sent anything but plain reads: it is committed as soon as it is done. */
  get hasWrittenByHand (): boolean {
    return this.#all.some(({ isAutomatic, transactions }) => !isAutomatic && transactions.hasWritten)
  }

  /** Writes what is pending in those that the scope commits. Where nothing is, there is nothing to wait for. */
  flush (): Promise<void> | undefined {
    const unclean = this.#automatic.filter(session => !session.isClean())
    return unclean.length === 0 ? undefined : this.#flush(unclean)
  }

  /**
   * Flushes and commits all; the next statement begins a new transaction.
   * @throws what the flush or a COMMIT throws; everything since the last commit is then rolled back
   */
  async commit (): Promise<void> {
    await this.#commit(this.#all)
  }

  /**
   * The last commit, after which only plain reads are served. Plain MikroORM goes on until it is closed: nothing is committed or
   * refused on its behalf.
   * @param ready what to wait for after the flush, unless one of them is used again
   */
  async commitAndSettle (ready?: Ready): Promise<void> {
    const sessions = this.#automatic
    await this.#commit(sessions, ready, 'committed')
    for (const { transactions } of sessions) await transactions.settle('committed')
  }

  /**
   * Carries out the outcome at once where there is nothing to write, to commit or to roll back, as after requests that only read.
   * @returns whether it has
   */
  settleAtRest (outcome: Outcome): boolean {
    const sessions = outcome === 'commit' ? this.#automatic : this.#all
    if (!sessions.every(session => session.transactions.isAtRest && (outcome === 'rollback' || session.isClean()))) return false
    for (const { transactions } of sessions) void transactions.settle(COMPLETED[outcome])
    return true
  }

  /** Rolls back what has begun, and forgets every entity. */
  async rollback (): Promise<void> {
    for (const session of this.#all) await session.rollback()
  }

  /** Rolls back all, and serves only plain reads from then on. */
  async settle (): Promise<void> {
    for (const { transactions } of this.#all) await transactions.settle('rolled back')
  }

  /** The same. What is running may take long; nobody has to wait for it, since it cannot be committed any more. */
  async abandon (): Promise<void> {
    const rollbacks = this.#all.map(({ transactions }) => ({ isBusy: transactions.isBusy, settled: this.#reported(transactions.settle('rolled back')) }))
    this.#rolledBack = Promise.all(rollbacks.map(({ settled }) => settled))
    await Promise.all(rollbacks.filter(({ isBusy }) => !isBusy).map(({ settled }) => settled))
  }

  /** When those that were abandoned are rolled back, if they were. Never rejects. */
  get rolledBack (): Promise<unknown> | undefined {
    return this.#rolledBack
  }

  /** Asks the servers to stop what runs now. */
  async cancel (): Promise<void> {
    await this.#onEach(({ transactions }) => transactions.cancel())
  }

  /** Drops one, rolling back what is open. */
  async remove (database: SessionDatabase): Promise<void> {
    const session = this.find(database)
    if (session === undefined) return
    this.#all = this.#all.filter(other => other !== session)
    await session.transactions.close()
    this.#tell('closed', session)
  }

  /** Drops all, rolling back what is open and refusing every later use. Never throws. At rest there is nothing to wait for. */
  close (): Promise<void> | undefined {
    const sessions = this.#all
    for (const session of sessions) this.#warnOfUnflushed(session)
    const closing = sessions.map(({ transactions }) => transactions.close()).filter(work => work !== undefined)
    // Work that outlives the scope keeps it, through the asynchronous context, but not what its sessions have loaded.
    this.#all = []
    if (closing.length > 0) return this.#closed(sessions, closing)
    for (const session of sessions) this.#tell('closed', session)
    return undefined
  }

  async #closed (sessions: readonly Session[], closing: Promise<void>[]): Promise<void> {
    await Promise.all(closing.map(work => this.#reported(work)))
    for (const session of sessions) this.#tell('closed', session)
  }

  async #flush (sessions: readonly Session[]): Promise<void> {
    for (const { em } of sessions) await em.flush()
  }

  async #commit (sessions: readonly Session[], ready?: Ready, outcome?: string): Promise<void> {
    try {
      await commitTogether(sessions, ready, outcome)
    } catch (error) {
      const report = reportOf(error)
      if (report !== undefined) this.#log().error({ err: error, ...report }, 'a unit of work is not in all of its databases')
      await this.rollback()
      throw error
    }
  }

  #warnOfUnflushed (session: Session): void {
    try {
      const unflushed = session.unflushed()
      if (Object.keys(unflushed).length > 0) this.#log().warn({ unflushed }, 'unflushed changes were dropped at the end of their scope')
    } catch (err) {
      this.#log().warn({ err }, 'unflushed changes were dropped at the end of their scope, and could not be counted')
    }
  }

  /** Listeners are told at once, but none of them is waited for, or can do any harm. */
  #tell (signal: 'opened' | 'closed', { database: { name, listeners }, em }: Session): void {
    for (const tell of listeners.telling(signal, () => ({ database: name, ...this.#info, session: em }))) {
      void this.#reported((async () => { await tell() })(), LISTENER_FAILED)
    }
  }

  async #onEach (work: (session: Session) => Promise<void>): Promise<void> {
    await Promise.all(this.#all.map(session => this.#reported(work(session))))
  }

  /** At teardown there is nobody to throw to. */
  async #reported (work: Promise<void> | undefined, failure = TEARDOWN_FAILED): Promise<void> {
    try {
      await work
    } catch (err) {
      this.#log().error({ err }, failure)
    }
  }
}

const LISTENER_FAILED = 'a listener to the sessions of a database failed'

export const TEARDOWN_FAILED = 'teardown of a database scope failed'
