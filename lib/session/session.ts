import type { EntityManager, ForkOptions } from '@mikro-orm/core'
import type { OutcomeCallbacks } from '../events/callbacks.ts'
import type { SessionOwner } from './binding.ts'
import { isClean } from './dirty-check.ts'
import { isFlushing } from './flushes.ts'
import { callbacksOf, bindToScope, changeRecorder } from './entity-manager.ts'
import type { SessionDatabase } from '../events/session-database.ts'
import type { TransactionRules } from '../transaction/contracts.ts'
import { openTransactions } from './open-transactions.ts'
import type { SessionTransactions } from './session-transactions.ts'
import { countUnflushed } from './unflushed.ts'

/** What a session needs to be made. */
export interface SessionSettings {
  readonly forkOptions: ForkOptions
  readonly transactionRules: TransactionRules
  readonly owner: SessionOwner
  /** Takes an error that nobody waits for. */
  readonly report: (error: unknown) => void
}

/** One database's part of a scope: its EntityManager, and what the statements of that run in. */
export class Session {
  readonly database: SessionDatabase
  readonly em: EntityManager
  readonly transactions: SessionTransactions

  /** Sends no statement. */
  constructor (database: SessionDatabase, { forkOptions, transactionRules, owner, report }: SessionSettings) {
    this.database = database
    this.em = database.orm.em.fork({ ...forkOptions, disableContextResolution: true })
    if (database.listeners.wantsChanges) this.em.getEventManager().registerSubscriber(changeRecorder)
    this.transactions = openTransactions(this.em, transactionRules, report)
    bindToScope(this.em, database, owner, this.transactions)
  }

  /** Whether the scope commits it. Otherwise it is plain MikroORM, whose `flush()` does. */
  get isAutomatic (): boolean {
    return this.transactions.isAutomatic
  }

  /** Whether there is nothing to flush. In doubt there is. */
  isClean (): boolean {
    return !isFlushing(this.em) && isClean(this.em)
  }

  /** What waits for the end of the transaction that it is in now. */
  get callbacks (): OutcomeCallbacks {
    return callbacksOf(this.em)
  }

  /** What the scope's own commit is to plain MikroORM. */
  async commitByHand (): Promise<void> {
    if (this.em.isInTransaction()) await this.em.commit()
    else await this.em.flush()
  }

  /** Rolls back what has begun, and forgets every entity. */
  async rollback (): Promise<void> {
    if (this.isAutomatic) await this.transactions.rollback()
    else if (this.em.isInTransaction()) await this.em.rollback()
    this.em.clear()
  }

  /**
   * The changes that end with it unwritten, counted by entity.
   * @throws what MikroORM throws while it looks for them
   */
  unflushed (): Record<string, number> {
    return this.isAutomatic || this.isClean() ? {} : countUnflushed(this.em)
  }
}
