import { TransactionEventBroadcaster } from '@mikro-orm/core'
import type { Connection, EntityManager, SessionContext, Transaction, TransactionEventType } from '@mikro-orm/core'
import { scopeIs } from '../errors/errors.ts'
import { together } from '../waiting.ts'
import { onOutcome } from './open-nestings.ts'
import { isHeard } from './subscribers.ts'
import type { TransactionEvent } from '../transaction/begin-settings.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'
import { acquireFor } from './acquiring.ts'
import { generatedColumn } from './generated-columns.ts'
import { guard, guardDriver, type BesideOptions } from './guarded-connection.ts'
import { LazyTransaction, type LazyTransactionSettings } from '../transaction/lazy-transaction.ts'
import { fromTheFirstStatement, fromTheFirstWrite, never, readOnly, type PlacementRule } from '../transaction/statement.ts'
import type { PreparedCommit, SessionTransactionSettings, TransactionSettings } from '../transaction/contracts.ts'
import type { SessionTransactions } from './session-transactions.ts'

/** A connection as the session sees it. */
interface ConnectionView {
  readonly connection: Connection
  readonly guarded: Connection
  /** Where what is sent to a replica goes, which takes part in no transaction. */
  readonly replica: LazyTransaction | undefined
}

/** One transaction for the whole session, and those that MikroORM begins beside it (`REQUIRES_NEW`, or all of them in manual mode). */
export class SqlTransactions implements SessionTransactions {
  readonly isAutomatic: boolean
  readonly context: Transaction | undefined
  readonly #session: EntityManager
  readonly #connection: SqlConnection
  readonly #settings: SessionTransactionSettings
  readonly #report: (error: unknown) => void
  readonly #acquire: LazyTransactionSettings['acquire']
  readonly #sessionContext: () => SessionContext | undefined
  readonly #main: LazyTransaction
  #beside: readonly LazyTransaction[] = []
  /** The connections that were asked for. */
  #views: readonly ConnectionView[] = []
  #ended: WeakSet<Transaction> | undefined
  #state = 'open'

  constructor (session: EntityManager, connection: SqlConnection, settings: SessionTransactionSettings, report: (error: unknown) => void) {
    this.isAutomatic = settings.mode === 'automatic'
    this.#session = session
    this.#connection = connection
    this.#settings = settings
    this.#report = report
    const sessionContext = () => session.getTransactionSessionContext()
    this.#sessionContext = sessionContext
    this.#acquire = session.config.get('sessionContext') === 'connection' ? work => acquireFor(session, work) : undefined
    this.#main = new LazyTransaction({
      ...settings,
      connection,
      report,
      isAutomatic: this.isAutomatic,
      placement: placementFor(settings, sessionContext),
      sessionContext,
      acquire: this.#acquire,
      announce: this.isAutomatic ? (event, trx) => announce(session, event, trx) : undefined,
      ...this.#together(),
      // Not when it is prepared: it may have to be prepared again.
      onCommit: () => { onOutcome(session) }
    })
    this.context = this.isAutomatic ? this.#main.context : undefined
    if (!this.isAutomatic) guardDriver(session, connection => this.guard(connection))
  }

  /** What has to be known where BEGIN is to travel with the first statement. */
  #together (): Pick<LazyTransactionSettings, 'generatedColumn' | 'isHeard'> {
    const session = this.#session
    return this.#settings.beginWithFirst ? { generatedColumn: table => generatedColumn(session, table), isHeard: event => isHeard(session, event) } : {}
  }

  get hasBegun (): boolean {
    return this.#main.hasBegun
  }

  get isBusy (): boolean {
    return this.#all().some(transaction => transaction.isBusy)
  }

  get isAtRest (): boolean {
    return this.#beside.length === 0 && this.#main.isAtRest && this.#views.every(({ replica }) => replica?.isAtRest !== false)
  }

  get hasWritten (): boolean {
    return [this.#main, ...this.#replicas].some(({ statements }) => statements.writes > 0)
  }

  get isDoomed (): boolean {
    return this.#main.rollbackOnly.reason !== undefined
  }

  get hasRefused (): boolean {
    return this.#main.rollbackOnly.hasRefused
  }

  get isClosed (): boolean {
    return this.#state === 'closed'
  }

  assertOpen (): void {
    if (this.isClosed) throw scopeIs('closed')
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

  end (outcome: string): Promise<unknown> | undefined {
    this.#state = outcome
    onOutcome(this.#session)
    return together(this.#all().map(transaction => transaction.end(outcome)))
  }

  expire (): void {
    for (const transaction of this.#all()) transaction.expire()
  }

  async cancel (): Promise<void> {
    await Promise.all(this.#all().map(transaction => transaction.cancel()))
  }

  close (): Promise<unknown> | undefined {
    this.#state = 'closed'
    return together(this.#all().map(transaction => transaction.close()))
  }

  guard (connection: Connection): Connection {
    const view = this.#views.find(view => view.connection === connection || view.guarded === connection) ?? this.#view(connection as SqlConnection)
    return view.guarded
  }

  /** With a transaction, or where it is chosen for the session, everything goes to one, whichever connection was asked for. */
  #view (asked: SqlConnection): ConnectionView {
    const connection = this.isAutomatic || this.#settings.source !== undefined ? this.#connection : asked
    const replica = connection === this.#connection ? undefined : this.#replica(connection)
    const { context } = replica ?? this.#main
    const open = (options: BesideOptions) => this.#openBeside(connection, options)
    const begin = async (options: BesideOptions) => {
      const transaction = open(options)
      await transaction.begin()
      return transaction.context
    }
    const guarded = guard(asked, { context, begin, open: options => open(options).context })
    const view = { connection: asked, guarded, replica }
    this.#views = [...this.#views, view]
    return view
  }

  #replica (connection: SqlConnection): LazyTransaction {
    const settings = this.#settings
    return new LazyTransaction({
      ...settings,
      connection,
      report: this.#report,
      isAutomatic: false,
      placement: placementFor(settings),
      sessionContext: this.#sessionContext,
      acquire: this.#acquire
    })
  }

  #openBeside (connection: SqlConnection, { isolationLevel, readOnly = this.#settings.readOnly, sessionContext, eventBroadcaster }: BesideOptions): LazyTransaction {
    if (this.#state !== 'open') throw scopeIs(this.#state)
    const transaction = new LazyTransaction({
      connection,
      report: this.#report,
      isAutomatic: true,
      pool: this.#settings.pool,
      source: readOnly === this.#settings.readOnly ? this.#settings.source : undefined,
      committed: this.#settings.committed,
      origin: this.#settings.origin,
      isolationLevel,
      readOnly,
      causalReads: this.#settings.causalReads,
      placement: placementFor({ mode: 'automatic', begin: 'statement', readOnly }),
      // MikroORM tells it of a transaction that it begins, but not of one that its connection is asked for.
      sessionContext: () => sessionContext ?? this.#sessionContext(),
      acquire: this.#acquire,
      ...this.#together(),
      announce: (event, trx) => eventBroadcaster?.dispatchEvent(event as TransactionEventType, trx?.()),
      onEnd: () => {
        this.#beside = this.#beside.filter(other => other !== transaction)
        this.#ended ??= new WeakSet()
        this.#ended.add(transaction.context)
      }
    })
    this.#beside = [...this.#beside, transaction]
    return transaction
  }

  #all (): LazyTransaction[] {
    return [this.#main, ...this.#beside, ...this.#replicas]
  }

  get #replicas (): LazyTransaction[] {
    return this.#views.map(({ replica }) => replica).filter(replica => replica !== undefined)
  }
}

/** @param sessionContext what row level security is to know lasts for a transaction: given, all statements are inside one, and the same one where they can be */
function placementFor (
  { mode, begin, awaitsBody, readOnly: isReadOnly }: Pick<TransactionSettings, 'mode' | 'begin' | 'awaitsBody' | 'readOnly'>,
  sessionContext?: () => SessionContext | undefined
): PlacementRule {
  const waits = () => awaitsBody?.() === true || (begin === 'write' && sessionContext?.() === undefined)
  const begins: PlacementRule = (statement, hasBegun) => (waits() ? fromTheFirstWrite : fromTheFirstStatement)(statement, hasBegun)
  const rule = mode === 'manual' ? never : begins
  return isReadOnly === true ? readOnly(rule) : rule
}

function announce (session: EntityManager, event: TransactionEvent, trx?: () => Transaction): Promise<void> | undefined {
  return isHeard(session, event) ? new TransactionEventBroadcaster(session).dispatchEvent(event as TransactionEventType, trx?.()) : undefined
}
