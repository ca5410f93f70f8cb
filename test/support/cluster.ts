/** A Galera cluster behind HAProxy, as applications meet it: one address, of which each connection is with some node. */
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasGalera, NodeCheck, startNodes, type GaleraNode } from './galera.ts'
import { find, lastingPort, launch, type Server } from './server.ts'

export interface Cluster {
  /** That of HAProxy, which hands connections out in turns. */
  readonly url: string
  readonly nodes: readonly GaleraNode[]
  /** Resolves when all nodes are in the primary component and have what the others have. */
  whole (): Promise<void>
  stop (): Promise<void>
}

/** How long a cluster may take to be whole again, in milliseconds. */
const PATIENCE = 60_000

/** How many times in a row it has to be found whole. */
const STEADY = 10

/** Whether this machine has what it takes. */
export function canStartCluster (): boolean {
  return find('haproxy') !== undefined && hasGalera()
}

/** @returns undefined when this machine has no Galera or no HAProxy to start */
export async function startCluster (count: number, options: string[] = []): Promise<Cluster | undefined> {
  const daemon = find('haproxy')
  const nodes = daemon === undefined ? undefined : await startNodes(count, options)
  if (daemon === undefined || nodes === undefined) return undefined
  const checks = nodes.map(({ url }) => new NodeCheck(url))
  const answering = await Promise.all(checks.map(answer))
  const balancer = await startBalancer(daemon, nodes.map(({ url }, index) => `server node${index + 1} ${new URL(url).host} check port ${portOf(answering[index])}`))
  return {
    url: balancer.url,
    nodes,
    async whole () {
      const deadline = performance.now() + PATIENCE
      // Nodes that were all stopped at the same time find out only afterwards that they have not heard of each other.
      for (let rounds = 0; rounds < STEADY; rounds++) {
        if (!(await Promise.all(checks.map(check => check.isSynced()))).every(Boolean)) rounds = -1
        if (performance.now() > deadline) throw new Error('the cluster does not become whole again')
        await sleep(100)
      }
    },
    async stop () {
      await balancer.stop()
      for (const server of answering) server.close()
      for (const check of checks) check.close()
      await Promise.all(nodes.map(node => node.stop()))
    }
  }
}

/** Tells over HTTP how a node is: what `clustercheck` does, and HAProxy asks. */
async function answer (check: NodeCheck): Promise<HttpServer> {
  const server = createServer((_, response) => {
    void check.isSynced().then(isSynced => response.writeHead(isSynced ? 200 : 503, { connection: 'close' }).end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function portOf (server: HttpServer | undefined): number {
  return (server?.address() as AddressInfo).port
}

/** It hands out no connections with a node that is not well. Those that there are stay, as is its default: whoever has them in a pool has to notice. */
async function startBalancer (daemon: string, servers: string[]): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const port = await lastingPort()
  const configuration = join(folder, 'haproxy.cfg')
  await writeFile(configuration, `
defaults
  mode tcp
  timeout connect 1s
  timeout check 2s
  timeout client 1h
  timeout server 1h
  retries 2
  option redispatch
listen galera
  bind 127.0.0.1:${port}
  balance roundrobin
  option httpchk
  default-server inter 500ms fall 2 rise 2
  ${servers.join('\n  ')}
`)
  return await launch({
    url: `mysql://root@127.0.0.1:${port}`,
    daemon,
    folder,
    args: ['-db', '-f', configuration],
    async connect () {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.destroy()
    }
  })
}
