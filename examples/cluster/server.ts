/**
 * The application in several processes, which share one port: DATABASE_URL=mysql://... node examples/cluster/server.ts
 *
 * A process that dies is replaced. After SIGTERM all of them finish what they have begun, and nothing else.
 */
import cluster from 'node:cluster'
import { buildApp } from './app.ts'
import { database } from './database.ts'

const { DATABASE_URL, PORT = '3000', PROCESSES = '4', CONNECTIONS = '8' } = process.env

// Each process accepts connections by itself, so that those of one that is killed are closed with it.
cluster.schedulingPolicy = cluster.SCHED_NONE

if (cluster.isPrimary) {
  let isStopping = false
  for (let n = 0; n < Number(PROCESSES); n++) cluster.fork()
  cluster.on('exit', () => { if (!isStopping) cluster.fork() })
  process.once('SIGTERM', () => {
    isStopping = true
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
  })
} else {
  const app = await buildApp(database(DATABASE_URL, Number(CONNECTIONS)))
  process.once('SIGTERM', () => { void app.close().then(() => process.disconnect()) })
  await app.listen({ host: '127.0.0.1', port: Number(PORT) })
}
