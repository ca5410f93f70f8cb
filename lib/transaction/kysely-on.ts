import type { Transaction } from '@mikro-orm/core'
import type { Kysely, KyselyProps, QueryExecutor } from 'kysely'
import type { PooledConnection } from './pooled-connection.ts'

/** The class of the application's own Kysely, whichever its driver uses. */
export type KyselyClass = new (props: KyselyProps) => Kysely<unknown>

/** What Kysely's constructor takes, where nothing but the executor is to be used: what slips through fails loudly. */
export function propsWith (executor: QueryExecutor): KyselyProps {
  return { config: unused, driver: unused, dialect: unused, executor }
}

const unused = new Proxy({}, {
  get (_, key) {
    throw new Error(`fastify-scoped-db: Kysely's ${String(key)} is not available inside a scope`)
  }
}) as KyselyProps['config'] & KyselyProps['driver'] & KyselyProps['dialect']

/** A Kysely, of the application's class, whose statements are all sent on one connection, where a transaction is open. */
export function kyselyOn (connection: PooledConnection): Transaction {
  const { client } = connection.owner
  const kysely = new (client.constructor as KyselyClass)(propsWith(connection.executor()))
  return Object.defineProperty(kysely, 'isTransaction', { value: true })
}
