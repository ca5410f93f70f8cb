import type { EntityManager, ForkOptions } from '@mikro-orm/core'
import { FlushInterruptedError, InsideTransactionError } from '../errors/errors.ts'
import type { OutcomeCallbacks } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { SessionTransactionSettings } from '../transaction/contracts.ts'
import { notCausal } from '../transaction/causal-reads.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import { callbacksOf, type SessionOwner } from './nesting.ts'
import { countUnflushed, hasUnflushed, isDirty } from './dirty-check.ts'
import { bindToScope } from './entity-manager.ts'
import { flushAll } from './flush-all.ts'
import { flushEnded, interruptFlush, isFlushing } from './flush.ts'
import { NoTransactions } from './no-transactions.ts'
import { isInSavepointOf, savepointMutex, savepointsOf } from './savepoints.ts'
import type { SessionTransactions } from './session-transactions.ts'
import { SqlTransactions } from './sql-transactions.ts'

/** What a participant needs to be made. */
interface ParticipantSettings {
  readonly forkOptions: ForkOptions
  readonly transactionSettings: SessionTransactionSettings
  readonly owner: SessionOwner
  /** Takes an error that nobody waits for. */
  readonly report: (error: unknown) => void
}

/** One database's part in a scope: the session, which is an EntityManager, and what its statements run in. */
export class Participant {
  readonly database: SessionDatabase
  readonly em: EntityManager
  readonly transactions: SessionTransactions

  /** Sends no statement. */
  constructor (database: SessionDatabase, { forkOptions, transactionSettings, owner, report }: ParticipantSettings) {
    this.database = database
    this.em = database.orm.em.fork({ ...forkOptions, disableContextResolution: true })
    this.transactions = openTransactions(this.em, transactionSettings, report)
    bindToScope(this.em, database, owner, this.transactions)
  }

  /** Whether the scope commits it. Otherwise it is plain MikroORM, whose `flush()` does. */
  get isAutomatic (): boolean {
    return this.transactions.isAutomatic
  }

  /** Whether there is something to flush. In doubt there is. */
  isDirty (): boolean {
    return isFlushing(this.em) || isDirty(this.em)
  }

  /** Whether something came after the last flush, or while it ran. */
  hasUnflushed (): boolean {
    return isFlushing(this.em) || hasUnflushed(this.em)
  }

  /**
   * Flushes until nothing is left.
   * @returns whether there was anything
   * @throws EndlessFlushError when there is no end to it
   */
  flush (): Promise<boolean> {
    return flushAll(this.em)
  }

  /** What waits for the end of the transaction that it is in now. */
  callbacks (): OutcomeCallbacks {
    return callbacksOf(this.em)
  }

  /** What the scope's commit is to plain MikroORM. */
  async commitByHand (): Promise<void> {
    await this.flush()
    if (this.em.isInTransaction()) await this.em.commit()
    else await this.em.flush()
  }

  /** Whether it can be ended without waiting. */
  get isAtRest (): boolean {
    return this.transactions.isAtRest && !this.hasSavepoints
  }

  /** Whether a savepoint is set, or waits for its turn. */
  get hasSavepoints (): boolean {
    return savepointsOf(this.em).size > 0
  }

  /** @throws InsideTransactionError inside an `em.transactional()` of it, whose half would be committed or rolled back */
  assertOutside (what: string): void {
    if (isInSavepointOf(this.em)) throw new InsideTransactionError(what)
  }

  /** Until no savepoint is set any more: somebody may not have waited for his. */
  savepointsOver (): Promise<void> | undefined {
    return this.hasSavepoints ? this.#savepointsOver() : undefined
  }

  async #savepointsOver (): Promise<void> {
    const savepoints = savepointsOf(this.em)
    while (savepoints.size > 0) await Promise.all(savepoints)
  }

  /**
   * Rolls back what has begun, and forgets every entity. A flush that runs, and an `em.transactional()`, fails.
   * @throws FlushInterruptedError or InsideTransactionError inside such a one, which would wait for itself
   */
  async rollback (): Promise<void> {
    this.assertOutside('a rollback')
    await this.#endWork()
    // A savepoint that is asked for meanwhile is one of the next transaction, and brings back nothing of this one.
    const mutex = savepointMutex(this.em)
    await mutex.acquire()
    try {
      if (this.isAutomatic) await this.transactions.rollback()
      else if (this.em.isInTransaction()) await this.em.rollback()
      this.em.clear()
    } finally {
      mutex.release()
    }
  }

  /** What they still sent after the rollback would be committed without what they had sent before. */
  async #endWork (): Promise<void> {
    if (!isFlushing(this.em) && !this.hasSavepoints) return
    interruptFlush(this.em, 'a rollback')
    if (this.isAutomatic) this.transactions.doom(new FlushInterruptedError('a rollback'))
    await flushEnded(this.em)
  }

  /**
   * The changes that end with it unwritten, counted by entity.
   * @throws what MikroORM throws while it looks for them
   */
  countUnflushed (): Record<string, number> {
    return this.isDirty() ? countUnflushed(this.em) : {}
  }
}

/**
 * A lazy transaction where the driver speaks SQL.
 * @throws InvalidOptionError where there is none, and it is to begin when other nodes are up to date
 */
function openTransactions (session: EntityManager, settings: SessionTransactionSettings, report: (error: unknown) => void): SessionTransactions {
  const connection = session.getDriver().getConnection('write')
  if (isSqlConnection(connection)) return new SqlTransactions(session, connection, settings, report)
  if (settings.causalReads === true) throw notCausal(settings.origin.database.name)
  return new NoTransactions(settings)
}
