import type { EntityManager, ForkOptions } from '@mikro-orm/core'
import type { OutcomeCallbacks } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { TransactionSettings } from '../transaction/contracts.ts'
import { isSqlConnection } from '../transaction/sql-connection.ts'
import type { SessionOwner } from './nesting.ts'
import { countUnflushed, isDirty } from './dirty-check.ts'
import { bindToScope, callbacksOf, changeRecorder } from './entity-manager.ts'
import { isFlushing } from './flush.ts'
import { NoTransactions } from './no-transactions.ts'
import type { SessionTransactions } from './session-transactions.ts'
import { SqlTransactions } from './sql-transactions.ts'

/** What a participant needs to be made. */
export interface ParticipantSettings {
  readonly forkOptions: ForkOptions
  readonly transactionSettings: TransactionSettings
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
    if (database.listeners.wantsChanges) this.em.getEventManager().registerSubscriber(changeRecorder)
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

  /** What waits for the end of the transaction that it is in now. */
  get callbacks (): OutcomeCallbacks {
    return callbacksOf(this.em)
  }

  /** What the scope's commit is to plain MikroORM. */
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
  countUnflushed (): Record<string, number> {
    return this.isAutomatic || !this.isDirty() ? {} : countUnflushed(this.em)
  }
}

/** A lazy transaction where the driver speaks SQL. */
function openTransactions (session: EntityManager, settings: TransactionSettings, report: (error: unknown) => void): SessionTransactions {
  const connection = session.getDriver().getConnection('write')
  return isSqlConnection(connection) ? new SqlTransactions(session, connection, settings, report) : new NoTransactions(settings)
}
