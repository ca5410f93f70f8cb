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

/**
 * The connection as a session sees it. MikroORM begins its own transactions here (`em.begin()`, `em.transactional()`,
 * `flush()` in manual mode): they are begun through `guard`, so that they end with the scope. What is executed here
 * without a transaction goes to the session's own.
 */
export function guard (connection: SqlConnection, { context, begin, open }: Guard): SqlConnection {
  const guarded = {
    async begin (options: ConnectionOptions = {}): Promise<Transaction> {
      return options.ctx === undefined ? await begin(options) : await connection.begin(options)
    },

    async transactional<T> (use: (trx: Transaction) => Promise<T>, options: ConnectionOptions = {}): Promise<T> {
      const { eventBroadcaster, loggerContext } = options
      // A flush is about to send something.
      const trx = isInsideFlush() && options.ctx === undefined ? open(options) : await guarded.begin(options)
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
    },

    getClient: () => context,

    execute (query: string, params?: unknown[], method?: 'all' | 'get' | 'run', ctx = context, ...rest: []) {
      return connection.execute(query, params, method, ctx, ...rest)
    },

    executeDump: async (dump: string) => { await connection.execute(dump, [], 'run', context) },

    stream (query: string, params?: unknown[], ctx = context, ...rest: []) {
      return connection.stream(query, params, ctx, ...rest)
    },

    /** With an out parameter it begins a transaction of its own, if there is none. */
    callRoutine (routine: Routine, args?: object, ctx?: Transaction) {
      return connection.callRoutine.call(proxy, routine, args as never, ctx)
    }
  }
  const proxy: SqlConnection = new Proxy(connection, {
    get (target, key) {
      const value = Reflect.get(Object.hasOwn(guarded, key) ? guarded : target, key) as unknown
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
  return proxy
}

/** Has an EntityManager send everything to connections as `guard` gives them, whichever MikroORM chooses: it has no context to know them by. */
export function guardDriver (em: EntityManager, guard: (connection: Connection) => Connection): void {
  const driver = em.getDriver()
  useDriver(em, Object.create(driver, {
    connection: { get: () => guard(driver.getConnection()) },
    getConnection: { value: (type?: ConnectionType) => guard(driver.getConnection(type)) }
  }) as typeof driver)
}

/** MikroORM's own field, which is not meant to be changed. */
export function useDriver (em: EntityManager, driver: IDatabaseDriver): void {
  Object.defineProperty(em, 'driver', { value: driver })
}
