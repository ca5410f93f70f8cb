import { isInDoubt } from '../errors/causes.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { Participant } from '../session/participant.ts'
import type { Ready } from '../transaction/contracts.ts'
import { together } from '../waiting.ts'
import type { Log, Outcome, ScopeInfo } from '../types.ts'
import { Notifications } from './notifications.ts'
import { ENDED } from './state.ts'
import { commitTogether } from './two-phase-commit.ts'

/** A commit by hand that has failed. */
interface Refusal {
  readonly error: unknown
  /** Whether the outcome may be left at it. */
  readonly mayBeLeft: boolean
  /** Whether it is still being rolled back, so that nothing refuses yet what comes after it. */
  isUnderWay: boolean
}

/** Those who take part in one scope, at most one for each database. They share one outcome. */
export class Participants {
  readonly #notifications: Notifications
  /** Those that the scope commits. */
  #automatic: readonly Participant[] = []
  /** Plain MikroORM, whose `flush()` commits. */
  #manual: readonly Participant[] = []
  #isUsed = false
  #rolledBack: Promise<unknown> | undefined
  /** The commits and rollbacks by hand that are under way, each until it is over. */
  readonly #byHand = new Set<Promise<Error | undefined>>()
  /** A commit by hand that was refused, until a rollback by hand. Who was told of it may leave it at that. */
  #refusal: Refusal | undefined

  /**
   * @param info what the scope is for
   * @param log where to report what nobody waits for
   */
  constructor (info: ScopeInfo, log: () => Log) {
    this.#notifications = new Notifications(info, log)
  }

  /** The one of a database, if it takes part. */
  find (database: SessionDatabase): Participant | undefined {
    const isOf = (participant: Participant) => participant.database === database
    return this.#automatic.find(isOf) ?? this.#manual.find(isOf)
  }

  add (participant: Participant): void {
    if (participant.isAutomatic) this.#automatic = [...this.#automatic, participant]
    else this.#manual = [...this.#manual, participant]
    this.#isUsed = true
    this.#notifications.tell('opened', participant)
  }

  /** Whether there has ever been one. */
  get isUsed (): boolean {
    return this.#isUsed
  }

  /** Whether there is one that the scope commits. */
  get isAutomatic (): boolean {
    return this.#automatic.length > 0
  }

  /** Whether anything but plain reads has gone through the transactions of those that the scope commits. */
  get hasWritten (): boolean {
    return this.#automatic.some(({ transactions }) => transactions.hasWritten)
  }

  /** Whether those that the scope commits have written, or are to write, anything. */
  hasChanges (): boolean {
    return this.hasWritten || this.#automatic.some(participant => participant.isDirty())
  }

  /** Whether one of the others has sent anything but plain reads: it is committed as soon as it is done. */
  get hasWrittenByHand (): boolean {
    return this.#manual.some(({ transactions }) => transactions.hasWritten)
  }

  /** Whether a statement runs, or waits to be run. */
  get isBusy (): boolean {
    return this.#all.some(({ transactions }) => transactions.isBusy)
  }

  /** Whether there is anything to commit: written, or to be written. In doubt there is. */
  hasWork (): boolean {
    return !this.#canRest('commit')
  }

  /** Writes what is pending in those that the scope commits. Where nothing is, there is nothing to wait for. */
  flush (): Promise<void> | undefined {
    const dirty = this.#automatic.filter(participant => participant.isDirty())
    return dirty.length === 0 ? undefined : this.#flush(dirty)
  }

  /**
   * Flushes and commits all; the next statement begins a new transaction.
   * @throws what the flush or a COMMIT throws; everything since the last commit is then rolled back, and nothing goes through until `rollback()`
   */
  async commit (): Promise<void> {
    await this.#untilOver(this.#commit(this.#manual))
  }

  /** Rolls back what has begun, and forgets every entity. */
  async rollback (): Promise<void> {
    await this.#untilOver(this.#rollback())
    this.#refusal = undefined
  }

  /**
   * Ends all at once where there is nothing to write, to commit or to roll back, as after requests that only read.
   * @returns whether it has
   */
  endAtRest (outcome: Outcome): boolean {
    if (!this.#canRest(outcome)) return false
    for (const { transactions } of this.#concerned(outcome)) void transactions.end(ENDED[outcome])
    return true
  }

  /**
   * The last commit, after which only plain reads are served. It waits for those by hand: somebody may not have waited for his. Plain
   * MikroORM goes on until it is closed: nothing is committed or refused on its behalf.
   * @param ready what to wait for after the flush, unless one of them is used again
   * @throws as `commit()` does
   */
  async endWithCommit (ready?: Ready): Promise<void> {
    while (this.#byHand.size > 0) await this.#byHandOver()
    if (this.#isLeftAtRefusal()) this.#notifications.refused(this.#refusal?.error)
    else await this.#commit([], ready, ENDED.commit)
    const ended = together(this.#automatic.map(({ transactions }) => transactions.end(ENDED.commit)))
    if (ended !== undefined) await ended
  }

  /**
   * Rolls back all, after which only plain reads are served. What is running may take long; nobody has to wait for it, since it cannot
   * be committed any more. Never throws.
   */
  async endWithRollback (): Promise<void> {
    const rollbacks = this.#all.map(({ transactions }) => ({ isBusy: transactions.isBusy, done: this.#notifications.reported(transactions.end(ENDED.rollback)) }))
    this.#rolledBack = Promise.all(rollbacks.map(({ done }) => done))
    await Promise.all(rollbacks.filter(({ isBusy }) => !isBusy).map(({ done }) => done))
  }

  /** When what was running at the rollback is rolled back too, if there was one. Never rejects. */
  get rolledBack (): Promise<unknown> | undefined {
    return this.#rolledBack
  }

  /** Whether something was changed that will not be written any more, in those that the scope has committed. */
  hasLost (): boolean {
    return this.#automatic.some(participant => {
      try {
        return Object.keys(participant.countUnflushed()).length > 0
      } catch {
        return true
      }
    })
  }

  /** Nobody waits any longer: a COMMIT that is not answered a while later is given up. */
  expire (): void {
    for (const { transactions } of this.#all) transactions.expire()
  }

  /** Asks the servers to stop what runs now. Never throws. */
  async cancel (): Promise<void> {
    await Promise.all(this.#all.map(({ transactions }) => this.#notifications.reported(transactions.cancel())))
  }

  /** Closes the one of a database, rolling back what is open. */
  async remove (database: SessionDatabase): Promise<void> {
    const removed = this.find(database)
    if (removed === undefined) return
    this.#automatic = this.#automatic.filter(other => other !== removed)
    this.#manual = this.#manual.filter(other => other !== removed)
    await removed.transactions.close()
    this.#notifications.tell('closed', removed)
  }

  /**
   * Closes all, rolling back what is open and refusing every later use. Never throws. At rest there is nothing to wait for.
   * @param wasCommitted whether the scope was, so that what came after it is lost although nobody was told
   */
  close (wasCommitted: boolean): Promise<void> | undefined {
    const all = this.#all
    for (const participant of this.#manual) this.#notifications.dropped(participant)
    if (wasCommitted) for (const participant of this.#automatic) this.#notifications.lost(participant)
    const closing = all.map(({ transactions }) => transactions.close())
    // Work that outlives the scope keeps it, through the asynchronous context, but not what its sessions have loaded.
    this.#automatic = this.#manual = []
    if (closing.some(work => work !== undefined)) return this.#closed(all, closing)
    for (const participant of all) this.#notifications.tell('closed', participant)
    return undefined
  }

  get #all (): readonly Participant[] {
    return [...this.#automatic, ...this.#manual]
  }

  /** Plain MikroORM goes on after a commit. */
  #concerned (outcome: Outcome): readonly Participant[] {
    return outcome === 'commit' ? this.#automatic : this.#all
  }

  #canRest (outcome: Outcome): boolean {
    return this.#byHand.size === 0 && this.#concerned(outcome).every(participant => participant.isAtRest && (outcome === 'rollback' || !participant.isDirty()))
  }

  async #closed (participants: readonly Participant[], closing: (Promise<unknown> | undefined)[]): Promise<void> {
    await Promise.all(closing.map(work => this.#notifications.reported(work)))
    for (const participant of participants) this.#notifications.tell('closed', participant)
  }

  async #rollback (): Promise<void> {
    for (const participant of this.#all) await participant.rollback()
  }

  /** Whether a commit by hand was refused, and nothing has come after it. */
  #isLeftAtRefusal (): boolean {
    return this.#refusal?.mayBeLeft === true && this.#automatic.every(participant => !participant.transactions.hasRefused && !participant.isDirty())
  }

  /** @throws what one of them fails with: who has not waited for it has answered as if all were there */
  async #byHandOver (): Promise<void> {
    const failure = (await Promise.all(this.#byHand)).find(failure => failure !== undefined)
    if (failure !== undefined) throw failure
  }

  async #untilOver (work: Promise<void>): Promise<void> {
    const over = work.then(() => undefined, (error: Error) => error).finally(() => { this.#byHand.delete(over) })
    this.#byHand.add(over)
    await work
  }

  async #flush (participants: readonly Participant[]): Promise<void> {
    for (const participant of participants) await participant.flush()
  }

  async #commit (manual: readonly Participant[], ready?: Ready, outcome?: string): Promise<void> {
    for (const participant of this.#automatic) participant.assertOutside('a commit')
    const before = this.#refusal
    const assertWhole = () => { if (this.#refusal !== undefined && (this.#refusal !== before || before.isUnderWay)) throw this.#refusal.error }
    assertWhole()
    try {
      await commitTogether(this.#automatic, manual, { ready, outcome, assertWhole })
    } catch (error) {
      this.#notifications.commitFailed(error)
      // After a flush that has failed the session shows what is not there.
      const isWhole = this.#automatic.every(({ transactions }) => !transactions.isDoomed)
      const refusal: Refusal = { error, mayBeLeft: isWhole && this.#refusal === undefined && !isInDoubt(error), isUnderWay: true }
      this.#refusal = refusal
      await this.#rollback()
      // Whoever swallows the error would go on as if all were there.
      for (const { transactions } of this.#automatic) transactions.doom(error)
      refusal.isUnderWay = false
      throw error
    }
  }
}
