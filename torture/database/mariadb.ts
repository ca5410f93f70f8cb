import { MikroORM } from '@mikro-orm/mysql'
import { startServer } from '../../test/support/mariadb.ts'
import type { Server } from '../../test/support/server.ts'
import type { SqlORM } from '../../test/support/databases.ts'
import { UsageError } from '../../scripts/command-line.ts'
import { TAKEN, TAKEN_ID } from '../application/entities.ts'
import { entities, prepare, readContents, type Contents, type Database } from './database.ts'
import type { CounterLock } from './counter-lock.ts'
import { MAX_CONNECTIONS, MariaDbServer, USER } from './mariadb-server.ts'
import { MYSQL_PACKETS } from './mysql-packets.ts'
import { Proxy } from './proxy.ts'
import type { Doing, TorturedNode, TorturedServer } from './server.ts'

export const NAMES = ['torture', 'torture_second'] as const

/** What is acknowledged has to survive the end of the process, and nobody has to wait long for a lock. */
export const OPTIONS = ['--innodb-flush-log-at-trx-commit=1', '--innodb-lock-wait-timeout=1', `--max-connections=${MAX_CONNECTIONS}`]

/** What the application takes for one server: one MariaDB, or all nodes of a cluster. */
export class MariaDb implements TorturedServer {
  readonly proxy: Proxy
  readonly databases = NAMES
  readonly nodes: readonly TorturedNode[]
  readonly #servers: readonly MariaDbServer[]
  readonly whole: () => Promise<void>

  constructor (servers: readonly MariaDbServer[], proxy: Proxy, nodes: readonly TorturedNode[], whole: () => Promise<void>) {
    this.#servers = servers
    this.proxy = proxy
    this.nodes = nodes
    this.whole = whole
  }

  async freeze (meanwhile: () => Promise<void>): Promise<void> {
    for (const server of this.#servers) server.stop()
    try {
      await meanwhile()
    } finally {
      for (const server of this.#servers) server.goOn()
    }
    await this.whole()
  }

  async crash (meanwhile: () => Promise<void>): Promise<void> {
    await this.#each(server => server.crash())
    await meanwhile()
    await this.#each(server => server.restart())
    await this.whole()
  }

  async connections (doing: Doing): Promise<number[]> {
    return (await this.#each(server => server.connections(doing))).flat()
  }

  /** Nodes number their connections each for itself: of a cluster it may be more than one. */
  async kill (connection: number): Promise<void> {
    await this.#each(server => server.kill(connection))
  }

  async fillUp (meanwhile: () => Promise<void>): Promise<void> {
    await this.#servers.reduceRight((then, server) => () => server.fillUp(then), meanwhile)()
  }

  async lockCounters (meanwhile: () => Promise<void>): Promise<void> {
    const locks = await this.#lockAll()
    try {
      await meanwhile()
    } finally {
      await Promise.all(locks.map(lock => lock.release()))
    }
  }

  /** What was under way on one node when it was locked on another breaks that lock. */
  async #lockAll (): Promise<CounterLock[]> {
    for (;;) {
      const locks = await this.#each(server => server.lockCounters())
      const held = await Promise.all(locks.map(lock => lock.isHeld()))
      if (held.every(Boolean)) return locks
      await Promise.all(locks.map(lock => lock.release()))
      await this.whole()
    }
  }

  async #each<T> (ask: (server: MariaDbServer) => Promise<T>): Promise<T[]> {
    return await Promise.all(this.#servers.map(ask))
  }
}

/** @throws UsageError when this machine has no MariaDB or MySQL to start */
export async function openMariaDb (): Promise<Database> {
  const server = await startServer(OPTIONS)
  if (server === undefined) throw new UsageError('no MySQL server to torture. On Debian: apt-get install mariadb-server')
  return await databaseOn([server], server.url, { nodes: () => [], whole: async () => {}, caughtUp: async () => {}, stop: () => server.stop() })
}

/** What is to be known of the servers beside themselves. */
interface Surroundings {
  nodes (servers: readonly MariaDbServer[]): TorturedNode[]
  whole (): Promise<void>
  caughtUp (servers: readonly MariaDbServer[]): Promise<void>
  stop (): Promise<void>
}

/**
 * @param servers one, or some that have the same data
 * @param url where all of them are reached
 */
export async function databaseOn (servers: readonly [Server, ...Server[]], url: string, { nodes, whole, caughtUp, stop }: Surroundings): Promise<Database> {
  const [dbName, secondDbName] = NAMES
  const [orms, ...others] = await openOrms(servers)
  const asked = servers.map(server => new MariaDbServer(server, dbName))
  const [{ admin }] = asked as [MariaDbServer]
  for (const host of ['127.0.0.1', 'localhost']) await admin.query(`create user ${USER}@'${host}'`)
  for (const host of ['127.0.0.1', 'localhost']) await admin.query(`grant all on \`torture%\`.* to ${USER}@'${host}'`)
  const proxy = await Proxy.open(Number(new URL(url).port), MYSQL_PACKETS, connection => server.kill(connection))
  const server = new MariaDb(asked, proxy, nodes(asked), whole)
  return {
    settings: { database: 'mysql', url: `mysql://${USER}@127.0.0.1:${proxy.port}`, dbName, secondDbName },
    server,
    caughtUp: () => caughtUp(asked),
    async read () {
      await whole()
      await caughtUp(asked)
      return await readAll([orms, ...others])
    },
    leftovers: async () => (await Promise.all(asked.map(server => server.openTransactions()))).flat(),
    async close () {
      // Whatever cannot take leave of a server that is ill: the servers are stopped.
      await Promise.allSettled([...[orms, ...others].flat().map(orm => orm.close()), ...asked.map(({ admin }) => admin.end())])
      await proxy.close()
      await stop()
    }
  }
}

type Orms = readonly [SqlORM, SqlORM]

/** What is in the first, and how the others differ from it. */
async function readAll ([first, ...others]: readonly [Orms, ...Orms[]]): Promise<Contents> {
  const contents = await readContents(first)
  const differences: string[] = []
  for (const [index, orms] of others.entries()) {
    const { parts, counters } = await readContents(orms)
    const tokens = [...new Set([...parts.keys(), ...contents.parts.keys()])].filter(token => String(parts.get(token)) !== String(contents.parts.get(token)))
    if (tokens.length > 0) differences.push(`node ${index + 2} has other rows than the first of ${tokens.slice(0, 10).join(', ')}`)
    if (JSON.stringify(counters) !== JSON.stringify(contents.counters)) differences.push(`node ${index + 2} has other counters than the first`)
  }
  return { ...contents, differences }
}

/** Both databases on each server; the first makes what is in them. */
async function openOrms ([first, ...others]: readonly [Server, ...Server[]]): Promise<[Orms, ...Orms[]]> {
  const orms = await openBoth(first)
  for (const orm of orms) {
    await prepare(orm)
    // A node of a cluster has numbers of its own.
    await orm.em.fork().execute('update entry set id = ? where mark = ?', [TAKEN_ID, TAKEN])
  }
  return [orms, ...await Promise.all(others.map(openBoth))]
}

async function openBoth ({ url: clientUrl }: Server): Promise<Orms> {
  const open = async (dbName: string) => await MikroORM.init({ clientUrl, dbName, contextName: dbName, entities, ensureDatabase: true, pool: { max: 2 } }) as unknown as SqlORM
  return await Promise.all(NAMES.map(open)) as unknown as Orms
}
