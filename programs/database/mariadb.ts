import { MikroORM } from '@mikro-orm/mysql'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import type { Pool } from 'mysql2'
import { startServer } from '../../test/support/mariadb.ts'
import { UsageError } from '../../scripts/command-line.ts'
import { entities } from '../entities.ts'
import { rowsOf, type Tables } from '../rows.ts'
import { EMPTY, READ, SEEDS } from '../seeds.ts'
import type { Database } from './database.ts'

const NAME = 'programs'

/** SQLAlchemy's. */
const OTHER = 'programs_sqlalchemy'

/** @throws UsageError when this machine has no MariaDB or MySQL to start */
export async function openMariaDb (): Promise<Database> {
  // What a snapshot shows would depend on which statement was the first one, and that on the ORM. Nobody has to wait long for a lock.
  const server = await startServer(['--transaction-isolation=READ-COMMITTED', '--innodb-lock-wait-timeout=1'])
  if (server === undefined) throw new UsageError('no MySQL server to run programs on. On Debian: apt-get install mariadb-server')
  const options = { clientUrl: server.url, dbName: NAME, entities, ensureDatabase: false, pool: { max: 5 } }
  const first = await MikroORM.init({ ...options, ensureDatabase: true })
  await first.schema.create()
  await first.close()
  const witness = await createConnection({ uri: server.url, database: NAME, multipleStatements: true, jsonStrings: true })
  const reset = ['begin', ...EMPTY, ...SEEDS, 'commit'].join(';')
  await witness.query(`create database ${OTHER}`)
  return {
    hasManyConnections: true,
    sqlAlchemyUrl: `mysql+mysqldb://root@${new URL(server.url).host}/${OTHER}`,
    async connect () {
      return await MikroORM.init(options)
    },
    async reset () {
      await witness.query(reset)
    },
    async read () {
      const [tables] = await witness.query<RowDataPacket[][]>(READ.join(';'))
      return rowsOf(tables as unknown as Tables)
    },
    async leftovers (orm) {
      const pool = await orm.driver.getConnection().getNativeClient() as PoolInside
      const idle = pool._freeConnections.toArray()
      const found = pool._allConnections.length === idle.length ? [] : [`${pool._allConnections.length - idle.length} connections that are not back in the pool`]
      for (const connection of idle) {
        const [[row]] = await connection.promise().query<RowDataPacket[]>('select @@in_transaction as is_open')
        if (row?.['is_open'] === 1) found.push('an open transaction')
      }
      return found
    },
    async close () {
      await witness.end()
      await server.stop()
    }
  }
}

/** What mysql2 keeps to itself: which connections are in use. */
type PoolInside = Pool & { _allConnections: { length: number }, _freeConnections: { toArray (): { promise (): Awaited<ReturnType<typeof createConnection>> }[] } }
