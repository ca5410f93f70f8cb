import type { ControlConnectionProvider, DatabaseConnection, Kysely, QueryExecutor } from 'kysely'
import { driverError } from '../errors/driver-error.ts'
import { scopeIs } from '../errors/errors.ts'
import type { Loan, Loans } from './loans.ts'
import type { Patience } from './acquire-timeout.ts'
import { interruptible, type Interrupt } from './interruptible.ts'

/** A pooled connection that is held until it is released. */
export interface HeldConnection extends Loan {
  /** Kysely on this one connection. */
  readonly kysely: Kysely<unknown>
  /** Gives the connection back to its pool; resolves when it is there. */
  release (): Promise<void>
}

/** Takes connections from the pool for one session. */
export class Lender {
  readonly #client: Kysely<unknown>
  readonly #patience: Patience
  readonly #loans: Loans

  /**
   * @param patience how long to wait for a connection
   * @param loans those of the whole database
   */
  constructor (client: Kysely<unknown>, patience: Patience, loans: Loans) {
    this.#client = client
    this.#patience = patience
    this.#loans = loans
  }

  /**
   * An executor for one statement, which takes a connection for as long as that runs, and a second one where Kysely has to stop it
   * from there. It fails with an AcquireTimeoutError when no connection became free in time; one that comes later goes back to the pool.
   * @param admit is called when the first connection has come; what it throws is thrown instead of running the statement
   */
  executor (admit: () => void): QueryExecutor {
    const pool = this.#client.getExecutor()
    let isAdmitted = false
    return pool.withConnectionProvider({
      provideConnection: consumer => this.#patiently(wanted => pool.provideConnection(async connection => {
        wanted()
        if (!isAdmitted) admit()
        isAdmitted = true
        const loan = new ConnectionLoan(this, this.#loans, connection)
        try {
          return await consumer(connection)
        } finally {
          loan.forget()
        }
      }))
    })
  }

  /**
   * Takes a connection and keeps it.
   * @throws AcquireTimeoutError when none became free in time; one that comes later goes back to the pool
   */
  hold (): Promise<HeldConnection> {
    return new Promise((resolve, reject) => {
      const returned = this.#patiently(wanted => this.#client.connection().execute(async kysely => {
        wanted()
        const connection = await kysely.getExecutor().provideConnection(async connection => connection)
        const released = Promise.withResolvers<void>()
        const loan = new HeldLoan(this, this.#loans, connection, kysely, () => {
          released.resolve()
          return returned
        })
        resolve(loan)
        await released.promise
      }))
      returned.catch(reject)
    })
  }

  /** Asks the server to stop the statements that run now on what was lent. */
  async cancel (): Promise<void> {
    await this.#loans.cancel(this)
  }

  /** Lends a connection to a driver that asks the server, on it, to stop what runs on another one. */
  control<T> (consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    return this.#patiently(wanted => this.#client.getExecutor().provideConnection(async connection => {
      wanted()
      return await consumer(connection)
    }))
  }

  /**
   * Waits for a connection no longer than the patience lasts. Kysely could stop waiting by itself, but prints to the console when what
   * comes too late is an error. What the pool says instead of giving one is remembered as the database's error.
   * @param borrow is to call `wanted` first when it has a connection, which throws when it comes too late
   */
  #patiently<T> (borrow: (wanted: () => void) => Promise<T>): Promise<T> {
    const patience = this.#patience
    return new Promise((resolve, reject) => {
      const wait = patience.start(reject)
      borrow(() => patience.end(wait)).then(resolve, (error: Error) => {
        reject(patience.stop(wait) ? driverError(error) : error)
      })
    })
  }
}

/** A connection that is lent for as long as something runs. Known to `loans` until it is forgotten. */
class ConnectionLoan implements Loan {
  readonly borrower: Lender
  readonly #loans: Loans
  readonly #connection: DatabaseConnection
  readonly #interrupt: Interrupt

  constructor (borrower: Lender, loans: Loans, connection: DatabaseConnection) {
    this.borrower = borrower
    this.#loans = loans
    this.#connection = connection
    this.#interrupt = interruptible(connection)
    loans.add(this)
  }

  async cancel (): Promise<void> {
    await this.#connection.collectSessionInfo?.()
    await this.#connection.cancelQuery?.(this.#control)
  }

  async discard (): Promise<void> {
    if (!this.#loans.has(this)) return
    this.#interrupt(scopeIs('closed'))
    kill(this.#connection, this.#control)
  }

  forget (): void {
    this.#loans.delete(this)
  }

  get #control (): ControlConnectionProvider {
    return consumer => this.borrower.control(consumer)
  }
}

/** One that is lent until it is released. */
class HeldLoan extends ConnectionLoan implements HeldConnection {
  readonly kysely: Kysely<unknown>
  readonly #giveBack: () => Promise<void>

  /** @param giveBack frees its place in the pool */
  constructor (borrower: Lender, loans: Loans, connection: DatabaseConnection, kysely: Kysely<unknown>, giveBack: () => Promise<void>) {
    super(borrower, loans, connection)
    this.kysely = kysely
    this.#giveBack = giveBack
  }

  release (): Promise<void> {
    this.forget()
    return this.#giveBack()
  }

  override async discard (): Promise<void> {
    await super.discard()
    await this.release()
  }
}

/**
 * Closes a connection, as far as its driver can. mysql2 does its own part at once; then drivers may ask the server, on
 * another connection, to end the statement that runs, for which nobody waits: it may never answer.
 */
function kill (connection: DatabaseConnection, control: ControlConnectionProvider): void {
  void quietly(() => connection.collectSessionInfo?.())
  void quietly(() => connection.killSession?.(control))
}

async function quietly (work: () => Promise<unknown> | undefined): Promise<void> {
  try {
    await work()
  } catch {
    // The connection may be beyond all that.
  }
}
