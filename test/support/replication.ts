/** A real primary with a real replica, whose replay can be stopped and delayed: an artificial lag. */
import Fastify, { type FastifyInstance } from 'fastify'
import { spawnSync } from 'node:child_process'
import { chown, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import pg from 'pg'
import type { Test } from 'tap'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { availableKinds, type SqlORM } from './databases.ts'
import { startServer as startMariaDb } from './mariadb.ts'
import type { LogLine, Stage } from './on-each-database.ts'
import * as postgresql from './postgresql.ts'
import { freePort, launch, unprivileged, type Server } from './server.ts'

/** Those that have replicas here. */
export type ReplicatedKind = 'mysql' | 'postgresql'

export interface Replication {
  readonly kind: ReplicatedKind
  readonly primary: Server
  readonly replica: Server
  /** The replica applies nothing more, until `resume()`. */
  pause (): Promise<void>
  resume (): Promise<void>
  /** From now on the replica applies each commit so many milliseconds later, if at all it can be told: MariaDB counts in seconds. */
  delay (milliseconds: number): Promise<void>
  /** Waits until the replica has what the primary has. */
  caughtUp (): Promise<void>
  stop (): Promise<void>
}

/** @returns undefined when this machine has no such server */
export async function startReplication (kind: ReplicatedKind): Promise<Replication | undefined> {
  return await START[kind]()
}

const START = { mysql: startMariaDbs, postgresql: startPostgreSqls }

async function startMariaDbs (): Promise<Replication | undefined> {
  const options = ['--log-bin=binlog', '--binlog-format=ROW', '--gtid-strict-mode=ON', '--sync-binlog=0']
  const primary = await startMariaDb([...options, '--server-id=1'])
  if (primary === undefined) return undefined
  const replica = await startMariaDb([...options, '--server-id=2']).catch(async (error: unknown) => {
    await primary.stop()
    throw error
  }) as Server
  const ask = async (server: Server, ...statements: string[]) => {
    const connection = await createConnection(server.url)
    try {
      let rows: unknown
      for (const sql of statements) [rows] = await connection.query(sql)
      return rows as Record<string, string>[]
    } finally {
      await connection.end()
    }
  }
  // What each of them has done to set itself up is its own.
  await ask(primary, 'reset master')
  const { hostname, port } = new URL(primary.url)
  await ask(replica, 'reset master', `change master to master_host='${hostname}', master_port=${port}, master_user='root', master_use_gtid=slave_pos`, 'start slave')
  return {
    kind: 'mysql',
    primary,
    replica,
    pause: async () => { await ask(replica, 'stop slave sql_thread') },
    resume: async () => { await ask(replica, 'start slave sql_thread') },
    delay: async milliseconds => { await ask(replica, 'stop slave sql_thread', `change master to master_delay=${Math.ceil(milliseconds / 1000)}`, 'start slave sql_thread') },
    caughtUp: async () => {
      const [row] = await ask(primary, 'select @@gtid_binlog_pos as position')
      await ask(replica, `select master_gtid_wait('${row?.['position']}', 30)`)
    },
    stop: async () => { await Promise.all([primary.stop(), replica.stop()]) }
  }
}

async function startPostgreSqls (): Promise<Replication | undefined> {
  const primary = await postgresql.startServer()
  if (primary === undefined) return undefined
  const replica = await startStandby(primary).catch(async (error: unknown) => {
    await primary.stop()
    throw error
  })
  const ask = async (server: Server, ...statements: string[]) => {
    const client = new pg.Client(`${server.url}/postgres`)
    await client.connect()
    try {
      let rows: Record<string, string>[] = []
      for (const sql of statements) ({ rows } = await client.query<Record<string, string>>(sql))
      return rows
    } finally {
      await client.end()
    }
  }
  return {
    kind: 'postgresql',
    primary,
    replica,
    pause: async () => { await ask(replica, 'select pg_wal_replay_pause()') },
    resume: async () => { await ask(replica, 'select pg_wal_replay_resume()') },
    delay: async milliseconds => { await ask(replica, `alter system set recovery_min_apply_delay = '${milliseconds}ms'`, 'select pg_reload_conf()') },
    caughtUp: async () => {
      const [row] = await ask(primary, 'select pg_current_wal_insert_lsn() as position')
      const isBehind = async () => (await ask(replica, `select 1 where pg_last_wal_replay_lsn() < '${row?.['position']}'`)).length > 0
      while (await isBehind()) await sleep(10)
    },
    stop: async () => { await Promise.all([primary.stop(), replica.stop()]) }
  }
}

async function startStandby (primary: Server): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const user = unprivileged('postgres')
  if (user !== undefined) await chown(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  const { status, stderr } = spawnSync(postgresql.findProgram('pg_basebackup') as string, ['--pgdata', data, '--dbname', primary.url, '--write-recovery-conf', '--checkpoint', 'fast', '--no-sync'], { encoding: 'utf8', cwd: folder, ...user })
  if (status !== 0) throw new Error(`the replica could not be made:\n${stderr}`)
  const port = await freePort()
  return await launch({
    url: `postgresql://postgres@127.0.0.1:${port}`,
    daemon: postgresql.findDaemon() as string,
    folder,
    user,
    args: ['-D', data, ...postgresql.settingsFor(folder, port)],
    connect: postgresql.connectTo
  })
}

/** Starts those that this run is for, where this machine has such servers, and has the tests of this file use them in the place of the servers that all share. */
export async function replications (t: Test): Promise<Record<ReplicatedKind, Replication>> {
  const kinds = availableKinds().filter(kind => kind !== 'sqlite')
  const started = (await Promise.all(kinds.map(startReplication))).filter(replication => replication !== undefined)
  for (const { kind, primary } of started) process.env[kind === 'mysql' ? 'MYSQL_URL' : 'PG_URL'] = primary.url
  t.teardown(async () => { await Promise.all(started.map(replication => replication.stop())) })
  return Object.fromEntries(started.map(replication => [replication.kind, replication])) as Record<ReplicatedKind, Replication>
}

/** A second application on the database of a stage, with its replica. Where the replica does not matter, another's address can be given. */
export async function replicatedApp (t: Test, { database, logs }: Pick<Stage, 'database' | 'logs'>, urls: string[], options: Omit<ScopedDbOptions, 'orm'> = {}): Promise<{ app: FastifyInstance, orm: SqlORM }> {
  const { dbName } = database.options
  const orm = await database.connect({ replicas: urls.map(clientUrl => ({ clientUrl, dbName })) } as never)
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { logs.push(JSON.parse(line) as LogLine) } } } })
  t.teardown(async () => {
    await app.close()
    await orm.close()
  })
  await app.register(scopedDb, { orm, name: 'replicated', commitOnTeardown: true, ...options })
  return { app, orm }
}
