/** The application in two processes on one port, which are started anew when they have ended. Says the port, and what becomes of the workers. */
import Fastify from 'fastify'
import cluster from 'node:cluster'
import items from './items.ts'

if (cluster.isPrimary) {
  const workers = 2
  let isEnding = false
  cluster.on('listening', (worker, { port }) => { console.log(`worker ${worker.id} listens at http://127.0.0.1:${port}.`) })
  cluster.on('exit', (worker, code, signal) => {
    console.log(`worker ${worker.id} has ended: ${signal ?? code}.`)
    if (!isEnding) cluster.fork()
  })
  process.once('SIGTERM', () => {
    isEnding = true
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
  })
  for (let n = 0; n < workers; n++) cluster.fork()
} else {
  const app = Fastify({ logger: false })
  await app.register(items, {})
  process.once('SIGTERM', () => {
    void app.close().then(() => { process.disconnect() })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
}
