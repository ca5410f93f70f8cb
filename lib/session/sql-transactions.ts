import { TransactionEventBroadcaster } from '@mikro-orm/core'
import type { Connection, EntityManager, Transaction, TransactionEventType } from '@mikro-orm/core'
import { scopeIs } from '../errors/errors.ts'
import { isHeard } from './subscribers.ts'
import type { TransactionEvent } from '../transaction/active-transaction.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'
import { guard, type BesideOptions } from './guarded-connection.ts'
import { LazyTransaction } from '../transaction/lazy-transaction.ts'
import { fromTheFirstStatement, fromTheFirstWrite, never, readOnly, type PlacementRule } from '../transaction/statement.ts'
import type { PreparedCommit, TransactionSettings } from '../transaction/contracts.ts'
import type { SessionTransactions } from './session-transactions.ts'

/** One transaction for the whole session, and those that MikroORM begins beside it (`REQUIRES_NEW`, or all of them in manual mode). */
export class SqlTransactions implements SessionTransactions {
  readonly isAutomatic: boolean
  readonly context: Transaction | undefined
  readonly #connection: SqlConnection
  readonly #settings: TransactionSettings
  readonly #report: (error: unknown) => void
  readonly #main: LazyTransaction
  #beside: readonly LazyTransaction[] = []
  #ended: WeakSet<Transaction> | undefined
  #state = 'open'

  constructor (session: EntityManager, connection: SqlConnection, settings: TransactionSettings, report: (error: unknown) => void) {
    this.isAutomatic = settings.mode === 'automatic'
    this.#connection = connection
    this.#settings = settings
    this.#report = report
    this.#main = new LazyTransaction({
      ...settings,
      connection,
      report,
      isAutomatic: this.isAutomatic,
      placement: placementFor(settings),
      announce: this.isAutomatic ? (event, trx) => announce(session, event, trx) : undefined
    })
    // What is sent past it cannot be refused, either.
    this.context = this.isAutomatic || settings.readOnly === true || !needsItsOwnRouting(session) ? this.#main.context : undefined
  }

  get isBusy (): boolean {
    return this.#all().some(transaction => transaction.isBusy)
  }

  get isAtRest (): boolean {
    return this.#beside.length === 0 && this.#main.isAtRest
  }

  get hasWritten (): boolean {
    return this.#main.statements.writes > 0
  }

  assertOpen (): void {
    if (this.#state === 'closed') throw scopeIs('closed')
  }

  begin (): Promise<void> {
    return this.#main.begin()
  }

  announceCommit (): Promise<void> | undefined {
    return this.#main.announceCommit()
  }

  prepareCommit (): Promise<PreparedCommit> {
    return this.#main.prepareCommit()
  }

  rollback (): Promise<void> {
    return this.#main.rollback()
  }

  hasEnded (context: Transaction): boolean {
    return this.#ended?.has(context) === true
  }

  doom (error: unknown): void {
    this.#main.doom(error)
  }

  end (outcome: string): Promise<void> | undefined {
    this.#state = outcome
    return this.#onEach(transaction => transaction.end(outcome))
  }

  async cancel (): Promise<void> {
    await Promise.all(this.#all().map(transaction => transaction.cancel()))
  }

  close (): Promise<void> | undefined {
    this.#state = 'closed'
    return this.#onEach(transaction => transaction.close())
  }

  guard (connection: Connection): Connection {
    const { context } = this
    if (connection !== this.#connection && context === undefined) return connection
    return guard(connection as SqlConnection, {
      context,
      autocommit: this.isAutomatic ? undefined : context,
      begin: options => this.#beginBeside(options)
    })
  }

  async #beginBeside ({ isolationLevel, readOnly = this.#settings.readOnly, eventBroadcaster }: BesideOptions): Promise<Transaction> {
    if (this.#state !== 'open') throw scopeIs(this.#state)
    const transaction = new LazyTransaction({
      connection: this.#connection,
      report: this.#report,
      isAutomatic: true,
      pool: this.#settings.pool,
      isolationLevel,
      readOnly,
      placement: placementFor({ mode: 'automatic', begin: 'statement', readOnly }),
      announce: (event, trx) => eventBroadcaster?.dispatchEvent(event as TransactionEventType, trx),
      onEnd: () => {
        this.#beside = this.#beside.filter(other => other !== transaction)
        this.#ended ??= new WeakSet()
        this.#ended.add(transaction.context)
      }
    })
    this.#beside = [...this.#beside, transaction]
    await transaction.begin()
    return transaction.context
  }

  #onEach (work: (transaction: LazyTransaction) => Promise<void> | undefined): Promise<void> | undefined {
    return this.#beside.length === 0 ? work(this.#main) : this.#onAll(work)
  }

  async #onAll (work: (transaction: LazyTransaction) => Promise<void> | undefined): Promise<void> {
    await Promise.all(this.#all().map(async transaction => await work(transaction)))
  }

  #all (): LazyTransaction[] {
    return [this.#main, ...this.#beside]
  }
}

function placementFor ({ mode, begin, readOnly: isReadOnly }: Pick<TransactionSettings, 'mode' | 'begin' | 'readOnly'>): PlacementRule {
  const rule = mode === 'manual' ? never : begin === 'write' ? fromTheFirstWrite : fromTheFirstStatement
  return isReadOnly === true ? readOnly(rule) : rule
}

function announce (session: EntityManager, event: TransactionEvent, trx?: Transaction): Promise<void> | undefined {
  return isHeard(session, event) ? new TransactionEventBroadcaster(session).dispatchEvent(event as TransactionEventType, trx) : undefined
}

/** Reads from replicas go to another connection, which only MikroORM can choose while it sees no transaction. */
function needsItsOwnRouting (session: EntityManager): boolean {
  return (session.config.get('replicas')?.length ?? 0) > 0
}
