import type { Connection, ConnectionType, EntityManager, IDatabaseDriver, Routine, SessionContext, Transaction, TransactionEventBroadcaster } from '@mikro-orm/core'
import type { BeginOptions } from '../transaction/begin-options.ts'
import { assertFlushIsWhole, isInsideFlush } from './flush.ts'
import { transactionOf } from '../transaction/kysely-transaction.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'

export interface BesideOptions extends BeginOptions {
  readonly sessionContext?: SessionContext | undefined
  readonly eventBroadcaster?: TransactionEventBroadcaster | undefined
}

type ConnectionOptions = Parameters<SqlConnection['transactional']>[1] & BesideOptions

interface Guard {
  /** The session's own context on this connection, for what is executed without one. */
  readonly context: Transaction
  begin (options: BesideOptions): Promise<Transaction>
  /** The same for one that begins with its first statement. */
  open (options: BesideOptions): Transaction
}

type GuardConnection = (connection: Connection) => Connection

/** Not private: applications wrap connections, in a Proxy for one. */
const GUARD = Symbol('fastify-scoped-db.guard')

/**
 * The connection as a session sees it. MikroORM begins its own transactions here (`em.begin()`, `em.transactional()`,
 * `flush()` in manual mode): they are begun through `guard`, so that they end with the scope. What is executed here
 * without a transaction goes to the session's own.
 */
export function guard (connection: SqlConnection, guard: Guard): SqlConnection {
  const GuardedConnection = once(classes, connection, defineGuarded)
  return new GuardedConnection(guard) as object as SqlConnection
}

const classes = new WeakMap<SqlConnection, ReturnType<typeof defineGuarded>>()

function defineGuarded (connection: SqlConnection) {
  class GuardedConnection {
    readonly [GUARD]: Guard

    constructor (guard: Guard) {
      this[GUARD] = guard
    }

    async begin (options: ConnectionOptions = {}): Promise<Transaction> {
      return options.ctx === undefined ? await this[GUARD].begin(options) : await connection.begin(options)
    }

    async transactional<T> (use: (trx: Transaction) => Promise<T>, options: ConnectionOptions = {}): Promise<T> {
      const { eventBroadcaster, loggerContext } = options
      // A flush is about to send something.
      const trx = isInsideFlush() && options.ctx === undefined ? this[GUARD].open(options) : await this.begin(options)
      let isCommitting = false
      try {
        const result = await use(trx)
        assertFlushIsWhole()
        isCommitting = true
        await connection.commit(trx, eventBroadcaster, loggerContext)
        return result
      } catch (error) {
        const transaction = transactionOf(trx)
        // As MikroORM does: nobody is told of the end of what has not begun, and a rollback that fails must not hide why.
        const hasBegun = isCommitting || transaction?.hasBegun !== false
        await (hasBegun ? connection.rollback(trx, eventBroadcaster, loggerContext) : transaction.rollbackQuietly()).catch(() => undefined)
        throw error
      }
    }

    getClient (): Transaction {
      return this[GUARD].context
    }

    execute (query: string, params?: unknown[], method?: 'all' | 'get' | 'run', ctx = this[GUARD].context, ...rest: []) {
      return connection.execute(query, params, method, ctx, ...rest)
    }

    async executeDump (dump: string): Promise<void> {
      await connection.execute(dump, [], 'run', this[GUARD].context)
    }

    stream (query: string, params?: unknown[], ctx = this[GUARD].context, ...rest: []) {
      return connection.stream(query, params, ctx, ...rest)
    }

    /** With an out parameter it begins a transaction of its own, if there is none. */
    callRoutine (routine: Routine, args?: object, ctx?: Transaction) {
      return connection.callRoutine.call(this as object as SqlConnection, routine, args as never, ctx)
    }
  }
  Object.setPrototypeOf(GuardedConnection.prototype, boundTo(connection))
  return GuardedConnection
}

/** What is not guarded is the connection's own. */
function boundTo (connection: SqlConnection): SqlConnection {
  return new Proxy(connection, {
    get (target, key) {
      const value = Reflect.get(target, key) as unknown
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}

const GUARD_CONNECTION = Symbol('fastify-scoped-db.guard-connection')

type GuardedDriver = IDatabaseDriver & { readonly [GUARD_CONNECTION]: GuardConnection }

/** Has an EntityManager send everything to connections as `guard` gives them, whichever MikroORM chooses: it has no context to know them by. */
export function guardDriver (em: EntityManager, guard: GuardConnection): void {
  useDriver(em, Object.create(once(guardedDrivers, em.getDriver(), defineGuardedDriver), { [GUARD_CONNECTION]: { value: guard } }) as GuardedDriver)
}

const guardedDrivers = new WeakMap<IDatabaseDriver, object>()

function defineGuardedDriver (driver: IDatabaseDriver): object {
  return Object.create(driver, {
    connection: { get (this: GuardedDriver) { return this[GUARD_CONNECTION](driver.getConnection()) } },
    getConnection: { value (this: GuardedDriver, type?: ConnectionType) { return this[GUARD_CONNECTION](driver.getConnection(type)) } }
  }) as object
}

/**
 * What the objects of all sessions inherit from. An object with methods or getters of its own would have a hidden class of its own: whatever
 * calls it is slow, and V8 keeps that class, and the session with it, until it collects the whole heap.
 */
function once<Key extends object, Value> (known: WeakMap<Key, Value>, key: Key, define: (key: Key) => Value): Value {
  let value = known.get(key)
  if (value === undefined) {
    value = define(key)
    known.set(key, value)
  }
  return value
}

/** MikroORM's own field, which is not meant to be changed. */
export function useDriver (em: EntityManager, driver: IDatabaseDriver): void {
  Object.assign(em, { driver })
}
