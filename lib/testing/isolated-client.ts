import type { DatabaseConnection, Driver, Kysely, KyselyProps } from 'kysely'
import type { KyselyClass } from '../transaction/kysely-transaction.ts'
import { Lease } from './isolated-connection.ts'
import type { OuterTransaction } from './outer-transaction.ts'

/**
 * A Kysely that works as `client` does, except that all its connections are leases of the one that `outer` has. Its class is
 * the client's.
 */
export function isolatedClient (client: Kysely<unknown>, outer: OuterTransaction): Kysely<unknown> {
  const executor = client.getExecutor().withConnectionProvider({ provideConnection: consumer => Lease.lend(outer, consumer) })
  const Client = client.constructor as KyselyClass
  // MikroORM asks for nothing of the configuration and the dialect, which are the client's secret.
  return new Client({ config: {}, dialect: {}, driver: DRIVER, executor } as unknown as KyselyProps)
}

const leaseOf = (connection: DatabaseConnection) => connection as Lease

/** What Kysely asks of a driver for transactions. An isolation level cannot be set, nor can writing be refused, inside the outer one. */
const DRIVER: Partial<Driver> = {
  beginTransaction: connection => leaseOf(connection).begin(),
  commitTransaction: connection => leaseOf(connection).commit(),
  rollbackTransaction: connection => leaseOf(connection).rollback(),
  savepoint: (connection, name) => leaseOf(connection).savepoint(name),
  releaseSavepoint: (connection, name) => leaseOf(connection).releaseSavepoint(name),
  rollbackToSavepoint: (connection, name) => leaseOf(connection).rollbackToSavepoint(name)
}
