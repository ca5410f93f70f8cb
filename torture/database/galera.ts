import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from '../../scripts/command-line.ts'
import { startCluster } from '../../test/support/cluster.ts'
import type { Server } from '../../test/support/server.ts'
import type { Random } from '../random.ts'
import type { Database } from './database.ts'
import type { MariaDbServer } from './mariadb-server.ts'
import { databaseOn, OPTIONS } from './mariadb.ts'
import type { TorturedNode } from './server.ts'

/** How long a slow node does nothing, and then something, at most, in milliseconds. The others suspect one after two seconds. */
const STOPPED = 400
const RUNNING = 200

/** How long the others may take to find out that they are enough, in milliseconds. */
const REFORMATION = 60_000

/** One node of a Galera cluster. */
class GaleraNode implements TorturedNode {
  readonly #server: MariaDbServer
  readonly #others: readonly MariaDbServer[]
  readonly #whole: () => Promise<void>

  constructor (server: MariaDbServer, servers: readonly MariaDbServer[], whole: () => Promise<void>) {
    this.#server = server
    this.#others = servers.filter(other => other !== server)
    this.#whole = whole
  }

  async freeze (meanwhile: () => Promise<void>): Promise<void> {
    this.#server.stop()
    try {
      await meanwhile()
    } finally {
      this.#server.goOn()
    }
    await this.#whole()
  }

  async crash (meanwhile: () => Promise<void>): Promise<void> {
    await this.#server.crash()
    await meanwhile()
    await this.#server.restart()
    await this.#whole()
  }

  async isolate (meanwhile: () => Promise<void>): Promise<void> {
    await this.#isolate(1)
    try {
      await meanwhile()
    } finally {
      await this.#isolate(0)
    }
    await this.#whole()
  }

  async isOut (): Promise<void> {
    while (await this.#server.status('wsrep_ready') !== 'OFF') await sleep(50)
  }

  async othersServe (): Promise<void> {
    const isServing = async (server: MariaDbServer) => await server.status('wsrep_ready').catch(() => 'OFF') === 'ON'
    for (const end = Date.now() + REFORMATION; Date.now() < end && !(await Promise.all(this.#others.map(isServing))).some(Boolean);) await sleep(100)
  }

  async slow (random: Random, until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      this.#server.stop()
      await sleep(random.between(1, STOPPED))
      this.#server.goOn()
      await sleep(random.between(1, RUNNING))
    }
  }

  async #isolate (mode: 0 | 1): Promise<void> {
    await this.#server.admin.query(`set global wsrep_provider_options = 'gmcast.isolate=${mode}'`)
  }
}

/** @throws UsageError when this machine cannot start one */
export async function openGalera (count: number): Promise<Database> {
  // What the system has been given survives the end of a process, if not that of the machine: no node waits for its disk.
  const cluster = await startCluster(count, [...OPTIONS, '--innodb-flush-log-at-trx-commit=2'])
  if (cluster === undefined) throw new UsageError('no cluster to torture. On Debian: apt-get install mariadb-server galera-4 rsync haproxy')
  const { nodes, url, whole, stop } = cluster
  return await databaseOn(nodes as [Server, ...Server[]], url, {
    nodes: servers => servers.map(server => new GaleraNode(server, servers, whole)),
    whole,
    stop,
    async caughtUp (servers) {
      await Promise.all(servers.map(async ({ admin }) => await admin.query('set statement wsrep_sync_wait = 1 for select count(*) from counter')))
    }
  })
}
