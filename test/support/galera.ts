/** A private MariaDB Galera Cluster: real nodes on 127.0.0.1, each with ports and a folder of its own. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise'
import { findDaemon, initialize } from './mariadb.ts'
import { find, launch, lastingPort, unprivileged, type Server, type ServerProgram } from './server.ts'

const PROVIDERS = ['/usr/lib/galera/libgalera_smm.so', '/usr/lib64/galera/libgalera_smm.so', '/usr/lib64/galera-4/libgalera_smm.so']

/** The local state, where 4 is "Synced", and whether the node is ready. */
const SYNCED = '4,ON'

/** How long a node may take to say how it is, in milliseconds. */
const PATIENCE = 1_000

/** Three of them are to fit on a machine that has other things to do. */
const SMALL = ['--innodb-buffer-pool-size=64M', '--innodb-log-file-size=32M', '--key-buffer-size=1M', '--performance-schema=OFF']

/** A node that is silent for two seconds is suspected, rather than for five. */
const TIMEOUTS = 'evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT3S;evs.install_timeout=PT3S;gcache.size=64M'

export type GaleraNode = Server

/** Whether this machine has what it takes; rsync is what nodes send each other their data with. */
export function hasGalera (): boolean {
  return findDaemon() !== undefined && PROVIDERS.some(existsSync) && find('rsync') !== undefined
}

/**
 * Starts the nodes, one after the other: each takes its data from those before it.
 * @returns undefined when this machine has no Galera to start
 */
export async function startNodes (count: number, options: string[] = []): Promise<GaleraNode[] | undefined> {
  const daemon = findDaemon()
  const provider = PROVIDERS.find(existsSync)
  if (daemon === undefined || provider === undefined) return undefined
  const ports = await Promise.all(Array.from({ length: count }, lastingPort))
  const address = `gcomm://${ports.map(port => `127.0.0.1:${port}`).join(',')}`
  const nodes: GaleraNode[] = []
  try {
    for (const [index, port] of ports.entries()) nodes.push(await startNode(daemon, provider, index, port, address, options))
  } catch (error) {
    await Promise.all(nodes.map(node => node.stop()))
    throw error
  }
  return nodes
}

async function startNode (daemon: string, provider: string, index: number, port: number, address: string, options: string[]): Promise<GaleraNode> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const [client, transfer, increments] = [await lastingPort(), await lastingPort(), await lastingPort()]
  // What sends data to a node that runs as root writes it as nobody.
  const user = unprivileged('mysql')
  if (user !== undefined) await chown(folder, user.uid, user.gid)
  initialize(daemon, folder, [], user)
  const args = [
    '--no-defaults', `--datadir=${folder}/data`, `--socket=${folder}/socket`, `--pid-file=${folder}/pid`, `--tmpdir=${folder}`,
    `--port=${client}`, '--bind-address=127.0.0.1', '--binlog-format=ROW', '--innodb-autoinc-lock-mode=2', ...SMALL,
    '--wsrep-on=ON', `--wsrep-provider=${provider}`, `--wsrep-node-name=node${index + 1}`, `--wsrep-node-address=127.0.0.1:${port}`,
    '--wsrep-sst-method=rsync', `--wsrep-sst-receive-address=127.0.0.1:${transfer}`, ...options
  ]
  const provided = `--wsrep-provider-options=base_port=${port};gmcast.listen_addr=tcp://127.0.0.1:${port};ist.recv_addr=127.0.0.1:${increments};${TIMEOUTS}`
  return await launch({
    url: `mysql://root@127.0.0.1:${client}`,
    daemon,
    folder,
    user,
    args: [...args, provided, `--wsrep-cluster-address=${index === 0 ? 'gcomm://' : address}`],
    async argsAfterwards () {
      const again = [...args, `--wsrep-cluster-address=${address}`]
      return [...again, provided, `--wsrep-start-position=${await recover(daemon, again, user)}`]
    },
    connect: async url => {
      const check = new NodeCheck(url)
      const isSynced = await check.isSynced()
      check.close()
      if (!isSynced) throw new Error('the node is not synced with the others')
    }
  })
}

/** How far a node had come that was killed, as systemd asks it before it starts one again: what it has need not be sent to it. */
async function recover (daemon: string, args: string[], user: ServerProgram['user']): Promise<string> {
  const { stderr } = await promisify(execFile)(daemon, [...args, '--wsrep-recover'], { maxBuffer: 10_000_000, ...user })
  const position = /Recovered position: (\S+)/.exec(stderr)?.[1]
  if (position === undefined) throw new Error(`a node does not know how far it had come:\n${stderr}`)
  return position
}

/** Asks one node how it is, over a connection that is kept. */
export class NodeCheck {
  readonly #url: string
  #connection: Promise<Connection> | undefined

  constructor (url: string) {
    this.#url = url
  }

  /** Whether it takes part: it is in the primary component, has what the others have, and serves clients. */
  async isSynced (): Promise<boolean> {
    try {
      this.#connection ??= createConnection({ uri: this.#url, connectTimeout: PATIENCE })
      const [rows] = await (await this.#connection).query<RowDataPacket[]>({ sql: "show status where variable_name in ('wsrep_ready', 'wsrep_local_state')", timeout: PATIENCE })
      return String(rows.map(row => row['Value'])) === SYNCED
    } catch {
      this.close()
      return false
    }
  }

  close (): void {
    void this.#connection?.then(connection => connection.destroy(), () => {})
    this.#connection = undefined
  }
}
