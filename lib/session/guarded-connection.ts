import type { Transaction, TransactionEventBroadcaster } from '@mikro-orm/core'
import type { BeginOptions } from '../transaction/contracts.ts'
import { assertFlushIsWhole } from './flush.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'

export interface BesideOptions extends BeginOptions {
  readonly eventBroadcaster?: TransactionEventBroadcaster | undefined
}

type ConnectionOptions = Parameters<SqlConnection['transactional']>[1] & BesideOptions

interface Guard {
  /** The session's own context, for what is executed without one. */
  readonly context: Transaction | undefined
  /** The context that stands for "no transaction", if there is one. */
  readonly autocommit: Transaction | undefined
  begin (options: BesideOptions): Promise<Transaction>
}

/**
 * The connection as a session sees it. MikroORM begins its own transactions here (`em.begin()`, `em.transactional()`,
 * `flush()` in manual mode): they are begun through `guard`, so that they end with the scope. What is executed here
 * without a transaction goes to the session's own.
 */
export function guard (connection: SqlConnection, { context, autocommit, begin }: Guard): SqlConnection {
  const guarded = {
    async begin (options: ConnectionOptions = {}): Promise<Transaction> {
      if (options.ctx !== undefined && options.ctx !== autocommit) return await connection.begin(options)
      return await begin(options)
    },

    async transactional<T> (use: (trx: Transaction) => Promise<T>, options: ConnectionOptions = {}): Promise<T> {
      const { eventBroadcaster, loggerContext } = options
      const trx = await guarded.begin(options)
      try {
        const result = await use(trx)
        assertFlushIsWhole()
        await connection.commit(trx, eventBroadcaster, loggerContext)
        return result
      } catch (error) {
        // As MikroORM does: a rollback that fails must not hide why.
        await connection.rollback(trx, eventBroadcaster, loggerContext).catch(() => undefined)
        throw error
      }
    },

    execute (query: string, params?: unknown[], method?: 'all' | 'get' | 'run', ctx?: Transaction, ...rest: []) {
      return connection.execute(query, params, method, ctx ?? context, ...rest)
    }
  }
  return new Proxy(connection, {
    get (target, key) {
      const value = Reflect.get(Object.hasOwn(guarded, key) ? guarded : target, key) as unknown
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}
