import type { Connection, EntityManager, Transaction, TransactionEventType } from '@mikro-orm/core'
import { TransactionEventBroadcaster } from '@mikro-orm/core'
import { scopeIs } from '../errors.ts'
import { isHeard } from '../subscribers.ts'
import type { TransactionRules } from './rules.ts'
import { isSqlConnection, type SqlConnection } from './connection.ts'
import { guard, type BesideOptions } from './guarded-connection.ts'
import { LazyTransaction } from './lazy-transaction.ts'
import type { PreparedCommit } from './prepared-commit.ts'
import { fromTheFirstStatement, fromTheFirstWrite, never, readOnly, type Route } from './routes.ts'

/** What a session's statements run in. */
export interface SessionTransactions {
  /** What the session holds as its transaction context when MikroORM has begun none of its own. */
  readonly context: Transaction | undefined
  /** Whether the scope commits. Otherwise the session is plain MikroORM, whose `flush()` does. */
  readonly isAutomatic: boolean
  /** Whether a statement runs or waits. */
  readonly isBusy: boolean
  /** Whether nothing has begun and nothing runs, so that it can be settled and closed without waiting. */
  readonly isAtRest: boolean
  /** Whether anything but plain reads has gone through. */
  readonly hasWritten: boolean
  /** @throws ScopeClosedError once closed */
  assertOpen (): void
  /** Sends the BEGIN now. */
  begin (): Promise<void>
  /** Tells MikroORM's subscribers that a commit is to come; they may still send statements, or stop it by throwing. */
  announceCommit (): Promise<void> | undefined
  /** Makes ready to commit what has begun. After it the next statement begins anew. */
  prepareCommit (): Promise<PreparedCommit>
  /** Rolls back what has begun; the next statement begins anew. */
  rollback (): Promise<void>
  /** Whether a transaction that MikroORM has begun is over, because its COMMIT failed. */
  hasEnded (context: Transaction): boolean
  /** Makes the transaction fit for nothing but a rollback, because of `error`. */
  spoil (error: unknown): void
  /** The outcome is there: rolls back what is still open and refuses all but plain reads, each by itself. Idempotent. At rest there is nothing to wait for. */
  settle (outcome: string): Promise<void> | undefined
  /** Asks the server to stop what runs now. */
  cancel (): Promise<void>
  /** Refuses every further statement, then rolls back all that is open. Idempotent. At rest there is nothing to wait for. */
  close (): Promise<void> | undefined
  /** The session's view of a connection: transactions that MikroORM begins on it are known here, and closed with the rest. */
  guard (connection: Connection): Connection
}

/** Makes what the statements of `session` will run in: a lazy transaction where the driver speaks SQL. */
export function openTransactions (session: EntityManager, rules: TransactionRules, report: (error: unknown) => void): SessionTransactions {
  const connection = session.getDriver().getConnection('write')
  return isSqlConnection(connection) ? new SqlTransactions(session, connection, rules, report) : new NoTransactions(rules)
}

/** One transaction for the whole session, and those that MikroORM begins beside it (`REQUIRES_NEW`, or all of them in manual mode). */
class SqlTransactions implements SessionTransactions {
  readonly isAutomatic: boolean
  readonly context: Transaction | undefined
  readonly #connection: SqlConnection
  readonly #rules: TransactionRules
  readonly #report: (error: unknown) => void
  readonly #main: LazyTransaction
  #beside: readonly LazyTransaction[] = []
  #ended: WeakSet<Transaction> | undefined
  #state = 'open'

  constructor (session: EntityManager, connection: SqlConnection, rules: TransactionRules, report: (error: unknown) => void) {
    this.isAutomatic = rules.mode === 'automatic'
    this.#connection = connection
    this.#rules = rules
    this.#report = report
    this.#main = new LazyTransaction({
      ...rules,
      connection,
      report,
      isAutomatic: this.isAutomatic,
      route: routeFor(rules),
      announce: this.isAutomatic ? (event, trx) => announce(session, event, trx) : undefined
    })
    this.context = this.isAutomatic || !needsItsOwnRouting(session) ? this.#main.context : undefined
  }

  get isBusy (): boolean {
    return this.#all().some(transaction => transaction.isBusy)
  }

  get isAtRest (): boolean {
    return this.#beside.length === 0 && this.#main.isAtRest
  }

  get hasWritten (): boolean {
    return this.#main.hasWritten
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

  spoil (error: unknown): void {
    this.#main.spoil(error)
  }

  settle (outcome: string): Promise<void> | undefined {
    this.#state = outcome
    return this.#onEach(transaction => transaction.settle(outcome))
  }

  async cancel (): Promise<void> {
    await Promise.all(this.#all().map(transaction => transaction.cancel()))
  }

  close (): Promise<void> | undefined {
    this.#state = 'closed'
    return this.#onEach(transaction => transaction.close())
  }

  guard (connection: Connection): Connection {
    if (connection !== this.#connection) return connection
    const { context } = this
    return guard(this.#connection, {
      context,
      autocommit: this.isAutomatic ? undefined : context,
      begin: options => this.#beginBeside(options)
    })
  }

  async #beginBeside ({ isolationLevel, readOnly = this.#rules.readOnly, eventBroadcaster }: BesideOptions): Promise<Transaction> {
    if (this.#state !== 'open') throw scopeIs(this.#state)
    const transaction = new LazyTransaction({
      connection: this.#connection,
      report: this.#report,
      isAutomatic: true,
      patience: this.#rules.patience,
      loans: this.#rules.loans,
      isolationLevel,
      readOnly,
      route: routeFor({ mode: 'automatic', begin: 'statement', readOnly }),
      announce: (event, trx) => eventBroadcaster?.dispatchEvent(event, trx),
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

  #onEach (end: (transaction: LazyTransaction) => Promise<void> | undefined): Promise<void> | undefined {
    return this.#beside.length === 0 ? end(this.#main) : this.#onAll(end)
  }

  async #onAll (end: (transaction: LazyTransaction) => Promise<void> | undefined): Promise<void> {
    await Promise.all(this.#all().map(async transaction => await end(transaction)))
  }

  #all (): LazyTransaction[] {
    return [this.#main, ...this.#beside]
  }
}

const NOTHING_TO_COMMIT: PreparedCommit = {
  hasBegun: false,
  contended: new Promise(() => {}),
  async carryOut () {},
  leave () {},
  announceDone: () => undefined
}

/** Drivers without Kysely, MongoDB for one: writes go out with the flush, and there is nothing to roll back. */
class NoTransactions implements SessionTransactions {
  readonly context = undefined
  readonly isAutomatic: boolean
  readonly isBusy = false
  readonly isAtRest = true
  readonly hasWritten = false
  #isClosed = false

  constructor ({ mode }: TransactionRules) {
    this.isAutomatic = mode === 'automatic'
  }

  assertOpen (): void {
    if (this.#isClosed) throw scopeIs('closed')
  }

  async begin (): Promise<void> {}
  announceCommit (): undefined {}

  async prepareCommit (): Promise<PreparedCommit> {
    return NOTHING_TO_COMMIT
  }

  async rollback (): Promise<void> {}

  hasEnded (): boolean {
    return false
  }

  spoil (): void {}
  settle (): undefined {}
  async cancel (): Promise<void> {}

  close (): undefined {
    this.#isClosed = true
  }

  guard (connection: Connection): Connection {
    return connection
  }
}

function routeFor ({ mode, begin, readOnly: isReadOnly }: Pick<TransactionRules, 'mode' | 'begin' | 'readOnly'>): Route {
  const route = mode === 'manual' ? never : begin === 'write' ? fromTheFirstWrite : fromTheFirstStatement
  return isReadOnly === true ? readOnly(route) : route
}

function announce (session: EntityManager, event: TransactionEventType, trx?: Transaction): Promise<void> | undefined {
  return isHeard(session, event) ? new TransactionEventBroadcaster(session).dispatchEvent(event, trx) : undefined
}

/** Reads from replicas go to another connection, which only MikroORM can choose while it sees no transaction. */
function needsItsOwnRouting (session: EntityManager): boolean {
  return (session.config.get('replicas')?.length ?? 0) > 0
}
