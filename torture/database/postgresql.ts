import { MikroORM } from '@mikro-orm/postgresql'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { startServer } from '../../test/support/postgresql.ts'
import type { Server } from '../../test/support/server.ts'
import type { SqlORM } from '../../test/support/databases.ts'
import { UsageError } from '../../scripts/command-line.ts'
import { entities, prepare, readContents, type Database } from './database.ts'
import { POSTGRESQL_PACKETS } from './postgresql-packets.ts'
import { Proxy } from './proxy.ts'
import type { Doing, TorturedServer } from './server.ts'

const NAMES = ['torture', 'torture_second'] as const
const USER = 'application'

const SETTINGS = {
  // What is acknowledged has to survive the end of the processes, and so has a page that is half written.
  synchronous_commit: 'on',
  full_page_writes: 'on',
  // Nobody has to wait long for a lock.
  lock_timeout: '1s',
  deadlock_timeout: '100ms'
}

/** How long it may take until a server that was killed can be started again, in milliseconds. */
const PATIENCE = 30_000

const STATES: Record<Doing, string> = { statement: "= 'active'", nothing: "like 'idle%'" }

class PostgreSql implements TorturedServer {
  readonly proxy: Proxy
  readonly databases = NAMES
  readonly nodes = []
  readonly #server: Server
  readonly #admin: pg.Pool

  constructor (server: Server, admin: pg.Pool, proxy: Proxy) {
    this.#server = server
    this.#admin = admin
    this.proxy = proxy
  }

  async freeze (meanwhile: () => Promise<void>): Promise<void> {
    const processes = await this.#stopAll()
    try {
      await meanwhile()
    } finally {
      for (const id of processes.reverse()) signal(id, 'SIGCONT')
    }
  }

  async crash (meanwhile: () => Promise<void>): Promise<void> {
    const ended = once(this.#server.process, 'exit')
    for (const id of await this.#stopAll()) signal(id, 'SIGKILL')
    await ended
    await meanwhile()
    await this.#restart()
  }

  /** Of each connection there is a process, and of other work; none is left out, since the one that makes them is stopped first. */
  async #stopAll (): Promise<number[]> {
    const postmaster = this.#server.process.pid as number
    signal(postmaster, 'SIGSTOP')
    const children = await childrenOf(postmaster)
    for (const id of children) signal(id, 'SIGSTOP')
    return [postmaster, ...children]
  }

  /** It does not start as long as there is anything of what was killed. */
  async #restart (): Promise<void> {
    const deadline = performance.now() + PATIENCE
    for (;;) {
      try {
        await this.#server.restart()
        return
      } catch (error) {
        if (performance.now() > deadline) throw error
        await sleep(50)
      }
    }
  }

  async connections (doing: Doing): Promise<number[]> {
    const { rows } = await this.#admin.query<{ pid: number }>(`select pid from pg_stat_activity where usename = $1 and state ${STATES[doing]}`, [USER])
    return rows.map(({ pid }) => pid)
  }

  async kill (connection: number): Promise<void> {
    await kill(this.#admin, connection)
  }

  /** Its max_connections stays what it is until a restart. Of a user who has no place it says the same: 53300. */
  async fillUp (meanwhile: () => Promise<void>): Promise<void> {
    await this.#admin.query(`alter role ${USER} connection limit 0`)
    try {
      await this.#admin.query('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [USER])
      await meanwhile()
    } finally {
      await this.#admin.query(`alter role ${USER} connection limit -1`)
    }
  }

  async lockCounters (meanwhile: () => Promise<void>): Promise<void> {
    const connection = await this.#admin.connect()
    try {
      await connection.query("begin; set local lock_timeout = '60s'; select * from counter for update")
      await meanwhile()
      await connection.query('rollback')
    } finally {
      connection.release()
    }
  }
}

/** @throws UsageError when this machine has no PostgreSQL to start */
export async function openPostgreSql (): Promise<Database> {
  const server = await startServer(Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]))
  if (server === undefined) throw new UsageError('no PostgreSQL server to torture. On Debian: apt-get install postgresql')
  const orms = await Promise.all(NAMES.map(dbName => openOrm(server.url, dbName))) as [SqlORM, SqlORM]
  const [dbName, secondDbName] = NAMES
  const admin = new pg.Pool({ connectionString: `${server.url}/${dbName}`, max: 8 })
  // Its connections end with the server.
  admin.on('error', () => {})
  await admin.query(`create role ${USER} login`)
  for (const orm of orms) {
    for (const all of ['tables', 'sequences']) await orm.driver.execute(`grant all on all ${all} in schema public to ${USER}`)
  }
  const proxy = await Proxy.open(Number(new URL(server.url).port), POSTGRESQL_PACKETS, connection => kill(admin, connection))
  return {
    settings: { database: 'postgresql', url: `postgresql://${USER}@127.0.0.1:${proxy.port}`, dbName, secondDbName },
    server: new PostgreSql(server, admin, proxy),
    read: () => readContents(orms, "string_agg(part::text, ',')"),
    caughtUp: async () => {},
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
async function kill (admin: pg.Pool, connection: number): Promise<void> {
  await admin.query('select pg_terminate_backend($1)', [connection]).catch(() => undefined)
}

async function openTransactions (admin: pg.Pool): Promise<string[]> {
  const { rows } = await admin.query<{ state: string, query: string }>("select state, query from pg_stat_activity where usename = $1 and xact_start is not null and state <> 'idle'", [USER])
  return rows.map(({ state, query }) => `a transaction is open on the server: ${state}, ${query}`)
}

async function childrenOf (parent: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=', '-o', 'ppid='])
  const processes = stdout.trim().split('\n').map(line => line.trim().split(/\s+/).map(Number))
  return processes.flatMap(([id = 0, itsParent]) => itsParent === parent ? [id] : [])
}

/** One that has gone meanwhile needs none. */
function signal (process_: number, name: NodeJS.Signals): void {
  try {
    process.kill(process_, name)
  } catch {}
}
