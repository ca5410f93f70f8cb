/** Shows the application in several processes, on a cluster, while a part of each is killed: `npm run demo:cluster -- --help`. */
import { MikroORM } from '@mikro-orm/mysql'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runCommand, UsageError } from '../../scripts/command-line.ts'
import { startCluster, type Cluster } from '../../test/support/cluster.ts'
import { lastingPort } from '../../test/support/server.ts'
import { Client } from './client.ts'
import { compare } from './compare.ts'
import { database } from './database.ts'
import { Article } from './entities.ts'

const HELP = `npm run demo:cluster
  Three nodes of MariaDB Galera Cluster behind HAProxy, four processes of the application, and clients. One node and one process are
  killed meanwhile. In the end it says what was answered, and what is there.
  SECONDS=3       how long each part of it takes`

const SERVER = fileURLToPath(new URL('./server.ts', import.meta.url))

const CLIENTS = 16

const pause = Number(process.env['SECONDS'] ?? 3) * 1_000

const started = performance.now()

function tell (what: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${what}`)
}

async function main (_: string[], signal: AbortSignal): Promise<number> {
  const cluster = await startCluster(3)
  if (cluster === undefined) throw new UsageError('no cluster to show it on. On Debian: apt-get install mariadb-server galera-4 rsync haproxy')
  try {
    tell('three nodes are there, and HAProxy')
    await makeTables(cluster)
    return await show(cluster, signal) ? 0 : 1
  } finally {
    await cluster.stop()
  }
}

async function makeTables ({ url }: Cluster): Promise<void> {
  const orm = await MikroORM.init({ ...database(url, 1), ensureDatabase: true })
  await orm.schema.create()
  await orm.em.fork().insert(Article, { id: 1 })
  await orm.close()
}

async function show (cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const port = await lastingPort()
  const url = `http://127.0.0.1:${port}`
  const server = spawn(process.execPath, [SERVER], { env: { ...process.env, DATABASE_URL: cluster.url, PORT: String(port) }, stdio: 'inherit' })
  const ended = once(server, 'exit')
  const over = new AbortController()
  const client = new Client(url)
  try {
    await listening(url)
    tell(`four processes listen on ${url}; ${CLIENTS} clients order the same article`)
    const running = client.run(CLIENTS, over.signal)
    await killOneOfEach(cluster, client, signal)
    tell('SIGTERM: they finish what they have begun')
    server.kill('SIGTERM')
    over.abort()
    await running
    const [code] = await ended
    tell(`they have ended, with exit code ${code}`)
  } finally {
    server.kill('SIGKILL')
  }
  const { lines, isKept } = await compare(client.told, cluster.nodes)
  console.log(`\n${lines.join('\n')}`)
  return isKept
}

async function killOneOfEach ({ nodes, whole }: Cluster, client: Client, signal: AbortSignal): Promise<void> {
  const node = nodes[1] as Cluster['nodes'][number]
  await sleep(pause, undefined, { signal })
  tell('node 2 is killed (kill -9)')
  node.process.kill('SIGKILL')
  await once(node.process, 'exit')
  await sleep(pause, undefined, { signal })
  await node.restart()
  await whole()
  tell('node 2 is back, with what the others have')
  await sleep(pause, undefined, { signal })
  tell(`process ${client.process} is killed, and replaced`)
  process.kill(client.process, 'SIGKILL')
  await sleep(pause, undefined, { signal })
}

async function listening (url: string): Promise<void> {
  while (!await fetch(url).then(() => true, () => false)) await sleep(50)
}

await runCommand(HELP, main)
