import { MikroORM } from '@mikro-orm/mysql'
import { once } from 'node:events'
import { createConnection, createPool, type Connection, type Pool, type RowDataPacket } from 'mysql2/promise'
import { startServer } from '../../test/support/mariadb.ts'
import type { Server } from '../../test/support/server.ts'
import type { SqlORM } from '../../test/support/databases.ts'
import { UsageError } from '../../scripts/command-line.ts'
import { entities, prepare, readContents, type Database } from './database.ts'
import { MYSQL_PACKETS } from './mysql-packets.ts'
import { Proxy } from './proxy.ts'
import type { Doing, TorturedServer } from './server.ts'

const NAMES = ['torture', 'torture_second'] as const
const USER = 'application'

const MAX_CONNECTIONS = 500

/** The least that a server's max_connections can be. */
const LEAST_CONNECTIONS = 10

const COMMANDS: Record<Doing, string> = { statement: 'Query', nothing: 'Sleep' }

class MariaDb implements TorturedServer {
  readonly proxy: Proxy
  readonly databases = NAMES
  readonly #server: Server
  readonly #admin: Pool

  constructor (server: Server, admin: Pool, proxy: Proxy) {
    this.#server = server
    this.#admin = admin
    this.proxy = proxy
  }

  async freeze (meanwhile: () => Promise<void>): Promise<void> {
    this.#server.process.kill('SIGSTOP')
    try {
      await meanwhile()
    } finally {
      this.#server.process.kill('SIGCONT')
    }
  }

  async crash (meanwhile: () => Promise<void>): Promise<void> {
    this.#server.process.kill('SIGKILL')
    await once(this.#server.process, 'exit')
    await meanwhile()
    await this.#server.restart()
  }

  async connections (doing: Doing): Promise<number[]> {
    return await connectionsOf(this.#admin, doing)
  }

  async kill (connection: number): Promise<void> {
    await kill(this.#admin, connection)
  }

  async fillUp (meanwhile: () => Promise<void>): Promise<void> {
    const first = await createConnection(this.#server.url)
    const crowd = [first, ...await Promise.all(Array.from({ length: LEAST_CONNECTIONS - 1 }, () => createConnection(this.#server.url)))]
    try {
      await first.query(`set global max_connections = ${LEAST_CONNECTIONS}`)
      for (const doing of ['statement', 'nothing'] as const) {
        // By way of one that is there: the server takes no other.
        for (const connection of await connectionsOf(first, doing)) await first.query(`kill connection ${connection}`).catch(() => undefined)
      }
      await meanwhile()
    } finally {
      await first.query(`set global max_connections = ${MAX_CONNECTIONS}`)
      for (const connection of crowd) connection.destroy()
    }
  }

  async lockCounters (meanwhile: () => Promise<void>): Promise<void> {
    const connection = await this.#admin.getConnection()
    try {
      await connection.query('set innodb_lock_wait_timeout = 60')
      await connection.beginTransaction()
      await connection.query('select * from counter for update')
      await meanwhile()
      await connection.rollback()
    } finally {
      connection.release()
    }
  }
}

async function connectionsOf (asked: Pool | Connection, doing: Doing): Promise<number[]> {
  const [rows] = await asked.query<RowDataPacket[]>('select id from information_schema.processlist where user = ? and command = ?', [USER, COMMANDS[doing]])
  return rows.map(({ id }) => Number(id))
}

/** @throws UsageError when this machine has no MariaDB or MySQL to start */
export async function openMariaDb (): Promise<Database> {
  // What is acknowledged has to survive the end of the process, and nobody has to wait long for a lock.
  const server = await startServer(['--innodb-flush-log-at-trx-commit=1', '--innodb-lock-wait-timeout=1', `--max-connections=${MAX_CONNECTIONS}`])
  if (server === undefined) throw new UsageError('no MySQL server to torture. On Debian: apt-get install mariadb-server')
  const orms = await Promise.all(NAMES.map(dbName => openOrm(server.url, dbName))) as [SqlORM, SqlORM]
  const [dbName, secondDbName] = NAMES
  const admin = createPool({ uri: server.url, database: dbName, connectionLimit: 8 })
  for (const host of ['127.0.0.1', 'localhost']) await admin.query(`create user ${USER}@'${host}'`)
  for (const host of ['127.0.0.1', 'localhost']) await admin.query(`grant all on \`torture%\`.* to ${USER}@'${host}'`)
  const proxy = await Proxy.open(Number(new URL(server.url).port), MYSQL_PACKETS, connection => kill(admin, connection))
  return {
    settings: { database: 'mysql', url: `mysql://${USER}@127.0.0.1:${proxy.port}`, dbName, secondDbName },
    server: new MariaDb(server, admin, proxy),
    read: () => readContents(orms),
    leftovers: () => openTransactions(admin),
    async close () {
      for (const orm of orms) await orm.close()
      await admin.end()
      await proxy.close()
      await server.stop()
    }
  }
}

async function openOrm (clientUrl: string, dbName: string): Promise<SqlORM> {
  const orm = await MikroORM.init({ clientUrl, dbName, contextName: dbName, entities, ensureDatabase: true, pool: { max: 2 } }) as unknown as SqlORM
  await prepare(orm)
  return orm
}

/** One that has gone already is as good as killed. */
async function kill (admin: Pool, connection: number): Promise<void> {
  await admin.query(`kill connection ${connection}`).catch(() => undefined)
}

/** What InnoDB's monitor says is always new, other than information_schema.innodb_trx. */
async function openTransactions (admin: Pool): Promise<string[]> {
  const [rows] = await admin.query<RowDataPacket[]>('show engine innodb status')
  const transactions = String(rows[0]?.['Status']).matchAll(/^---TRANSACTION [^,]+, (ACTIVE .*)$/gm)
  return Array.from(transactions, ([, state]) => `a transaction is open on the server: ${state}`)
}
