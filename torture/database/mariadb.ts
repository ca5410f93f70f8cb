import { MikroORM } from '@mikro-orm/mysql'
import { once } from 'node:events'
import { createPool, type Pool, type RowDataPacket } from 'mysql2/promise'
import { startServer } from '../../test/support/mariadb.ts'
import type { Server } from '../../test/support/server.ts'
import type { SqlORM } from '../../test/support/databases.ts'
import { UsageError } from '../../scripts/command-line.ts'
import { entities, prepare, readContents, type Database } from './database.ts'
import { Proxy } from './proxy.ts'

const NAME = 'torture'
const USER = 'application'

/** What faults can do to a server, besides what the proxy in front of it can. */
export class TorturedServer {
  readonly proxy: Proxy
  readonly #server: Server
  readonly #admin: Pool

  constructor (server: Server, admin: Pool, proxy: Proxy) {
    this.#server = server
    this.#admin = admin
    this.proxy = proxy
  }

  /** Stops the process (SIGSTOP) while `meanwhile` runs. */
  async freeze (meanwhile: () => Promise<void>): Promise<void> {
    this.#server.process.kill('SIGSTOP')
    try {
      await meanwhile()
    } finally {
      this.#server.process.kill('SIGCONT')
    }
  }

  /** Kills the process, without a chance to clean up, and starts it again after `meanwhile`. */
  async crash (meanwhile: () => Promise<void>): Promise<void> {
    this.#server.process.kill('SIGKILL')
    await once(this.#server.process, 'exit')
    await meanwhile()
    await this.#server.restart()
  }

  /** The application's connections that run a statement, or wait for one. */
  async connections (doing: 'Query' | 'Sleep'): Promise<number[]> {
    const [rows] = await this.#admin.query<RowDataPacket[]>('select id from information_schema.processlist where user = ? and command = ?', [USER, doing])
    return rows.map(({ id }) => Number(id))
  }

  async kill (connection: number): Promise<void> {
    await kill(this.#admin, connection)
  }

  /** Holds the locks of all counters while `meanwhile` runs. */
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

  /** How many deadlocks the server has seen since it was started. */
  async deadlocks (): Promise<number> {
    const [rows] = await this.#admin.query<RowDataPacket[]>("show global status like 'Innodb_deadlocks'")
    return Number(rows[0]?.['Value'])
  }
}

/** @throws UsageError when this machine has no MariaDB or MySQL to start */
export async function openMariaDb (): Promise<Database> {
  // What is acknowledged has to survive the end of the process, and nobody has to wait long for a lock.
  const server = await startServer(['--innodb-flush-log-at-trx-commit=1', '--innodb-lock-wait-timeout=1', '--max-connections=500'])
  if (server === undefined) throw new UsageError('no MySQL server to torture. On Debian: apt-get install mariadb-server')
  const orm = await MikroORM.init({ clientUrl: server.url, dbName: NAME, entities, ensureDatabase: true, pool: { max: 2 } }) as unknown as SqlORM
  await prepare(orm)
  const admin = createPool({ uri: server.url, database: NAME, connectionLimit: 8 })
  for (const host of ['127.0.0.1', 'localhost']) await admin.query(`create user ${USER}@'${host}'`)
  for (const host of ['127.0.0.1', 'localhost']) await admin.query(`grant all on ${NAME}.* to ${USER}@'${host}'`)
  const proxy = await Proxy.open(Number(new URL(server.url).port), connection => kill(admin, connection))
  return {
    settings: { database: 'mysql', url: `mysql://${USER}@127.0.0.1:${proxy.port}`, dbName: NAME },
    server: new TorturedServer(server, admin, proxy),
    read: () => readContents(orm),
    leftovers: () => openTransactions(admin),
    async close () {
      await orm.close()
      await admin.end()
      await proxy.close()
      await server.stop()
    }
  }
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
