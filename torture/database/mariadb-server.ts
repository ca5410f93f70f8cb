import { once } from 'node:events'
import { createConnection, createPool, type Connection, type Pool, type RowDataPacket } from 'mysql2/promise'
import type { Server } from '../../test/support/server.ts'
import { CounterLock } from './counter-lock.ts'
import type { Doing } from './server.ts'

/** Who the application is to its servers. */
export const USER = 'application'

export const MAX_CONNECTIONS = 500

/** The least that a server's max_connections can be. */
const LEAST_CONNECTIONS = 10

const COMMANDS: Record<Doing, string> = { statement: 'Query', nothing: 'Sleep' }

/** One MariaDB: the only one, or a node of a cluster. */
export class MariaDbServer {
  readonly admin: Pool
  readonly #server: Server

  constructor (server: Server, dbName: string) {
    this.#server = server
    this.admin = createPool({ uri: server.url, database: dbName, connectionLimit: 8 })
  }

  stop (): void {
    this.#server.process.kill('SIGSTOP')
  }

  goOn (): void {
    this.#server.process.kill('SIGCONT')
  }

  async crash (): Promise<void> {
    this.#server.process.kill('SIGKILL')
    await once(this.#server.process, 'exit')
  }

  async restart (): Promise<void> {
    await this.#server.restart()
  }

  /** Of a node: the value of one of its status variables. */
  async status (name: string): Promise<string> {
    const [[row]] = await this.admin.query<RowDataPacket[]>('show status where variable_name = ?', [name])
    return String(row?.['Value'])
  }

  async connections (doing: Doing): Promise<number[]> {
    return await connectionsOf(this.admin, doing)
  }

  /** One that has gone already, or is not the application's, is as good as killed. */
  async kill (connection: number): Promise<void> {
    const [[found]] = await this.admin.query<RowDataPacket[]>('select id from information_schema.processlist where id = ? and user = ?', [connection, USER])
    if (found !== undefined) await this.admin.query(`kill connection ${connection}`).catch(() => undefined)
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

  async lockCounters (): Promise<CounterLock> {
    return await CounterLock.take(this.admin)
  }

  /** What InnoDB's monitor says is always new, other than information_schema.innodb_trx. */
  async openTransactions (): Promise<string[]> {
    const [rows] = await this.admin.query<RowDataPacket[]>('show engine innodb status')
    const transactions = String(rows[0]?.['Status']).matchAll(/^---TRANSACTION [^,]+, (ACTIVE .*)$/gm)
    return Array.from(transactions, ([, state]) => `a transaction is open on the server: ${state}`)
  }
}

async function connectionsOf (asked: Pool | Connection, doing: Doing): Promise<number[]> {
  const [rows] = await asked.query<RowDataPacket[]>('select id from information_schema.processlist where user = ? and command = ?', [USER, COMMANDS[doing]])
  return rows.map(({ id }) => Number(id))
}
