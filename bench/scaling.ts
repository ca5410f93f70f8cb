/** What docs/scaling.md says in figures: `node bench/scaling.ts --help`. */
import { LockMode, MikroORM } from '@mikro-orm/mysql'
import { defineEntity, p } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Pool } from 'mysql2'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb from '../plugin.ts'
import { parse, runCommand, UsageError, wholeNumber } from '../scripts/command-line.ts'
import { startCluster } from '../test/support/cluster.ts'
import { startServer } from '../test/support/mariadb.ts'

const HELP = `node bench/scaling.ts [options]
  How many of the requests go through that change the same rows on several nodes of a cluster, by their attempts; and how many connections
  are in use, by requests per second and time in the transaction, with the CPU that an update takes from MariaDB.
  --requests N   of each kind (1000)`

const Counter = defineEntity({ name: 'Counter', properties: { id: p.integer().primary().autoincrement(false), value: p.integer() } })

/** How many want the same rows at a time. */
const CLIENTS = 24

const CONNECTIONS = 24

async function main (args: string[], signal: AbortSignal): Promise<number> {
  const requests = wholeNumber('requests', parse(args, { requests: { type: 'string', default: '1000' } }).requests)
  await measureRetries(requests, signal)
  await measureConnections(requests, signal)
  return 0
}

async function measureRetries (requests: number, signal: AbortSignal): Promise<void> {
  const cluster = await startCluster(3)
  if (cluster === undefined) throw new UsageError('no cluster. On Debian: apt-get install mariadb-server galera-4 rsync haproxy')
  try {
    const app = await open(cluster.url)
    console.log(`${requests} requests, ${CLIENTS} at a time, on three nodes\nrows  attempts  backoff  answered 2xx   p50 ms   p99 ms`)
    for (const [rows, attempts, backoff] of [[1, 1, 50], [1, 3, 50], [1, 10, 50], [1, 10, 10], [1, 20, 20], [10, 3, 50], [10, 10, 50], [100, 3, 50]] as const) {
      signal.throwIfAborted()
      const took: number[] = []
      let good = 0
      let sent = 0
      await Promise.all(Array.from({ length: CLIENTS }, async () => {
        while (sent < requests) {
          const began = performance.now()
          const { statusCode } = await app.inject({ method: 'POST', url: `/${attempts}/${backoff}/${sent++ % rows + 1}` })
          took.push(performance.now() - began)
          if (statusCode < 300) good++
        }
      }))
      console.log(`${cell(rows, 4)}${cell(attempts, 10)}${cell(backoff, 9)}${cell((good / took.length * 100).toFixed(1), 12)} %${cell(quantile(took, 0.5), 9)}${cell(quantile(took, 0.99), 9)}`)
    }
    await close(app)
  } finally {
    await cluster.stop()
  }
}

async function measureConnections (requests: number, signal: AbortSignal): Promise<void> {
  const server = await startServer()
  if (server === undefined) throw new UsageError('no MariaDB. On Debian: apt-get install mariadb-server')
  try {
    const app = await open(server.url)
    const pool = await app.db.orm.em.getDriver().getConnection().getNativeClient() as Pool & Record<'_allConnections' | '_freeConnections', { length: number }>
    console.log('\nrequests/s  pause ms  where             in use, mean   most   rate x pause   CPU of MariaDB, µs per request')
    for (const [rate, pause, where] of [[50, 20, 'in'], [50, 100, 'in'], [100, 20, 'in'], [100, 100, 'in'], [100, 100, 'before']] as const) {
      signal.throwIfAborted()
      const used: number[] = []
      const sampler = setInterval(() => { used.push(pool._allConnections.length - pool._freeConnections.length) }, 5)
      const sent: Promise<unknown>[] = []
      const began = performance.now()
      const count = Math.min(requests, rate * 5)
      const cpu = await cpuOf(server.process.pid)
      for (let n = 0; n < count; n++) {
        sent.push(app.inject({ method: 'POST', url: `/${where}/${pause}` }).then())
        await sleep(Math.max(0, began + (n + 1) * 1_000 / rate - performance.now()))
      }
      clearInterval(sampler)
      await Promise.all(sent)
      const perRequest = (await cpuOf(server.process.pid) - cpu) / count
      const mean = used.reduce((sum, n) => sum + n, 0) / used.length
      console.log(`${cell(rate, 10)}${cell(pause, 10)}  ${`${where} the transaction`.padEnd(18)}${cell(mean.toFixed(1), 12)}${cell(Math.max(...used), 7)}${cell((where === 'in' ? rate * pause / 1_000 : 0).toFixed(1), 15)}${cell(perRequest.toFixed(0), 15)}`)
    }
    await close(app)
  } finally {
    await server.stop()
  }
}

/** An application with a table of counters, and a route for each of the settings. */
async function open (clientUrl: string): Promise<FastifyInstance> {
  const orm = await MikroORM.init({ clientUrl, dbName: 'scaling', entities: [Counter], ensureDatabase: true, pool: { max: CONNECTIONS } })
  await orm.schema.create()
  await orm.em.fork().insertMany(Counter, Array.from({ length: 100 }, (_, index) => ({ id: index + 1, value: 0 })))
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, acquireTimeout: 10_000 })
  for (const attempts of [1, 3, 10, 20]) {
    for (const backoff of [10, 20, 50]) {
      const config = attempts === 1 ? {} : { db: { retry: { attempts, backoff } } }
      app.post<{ Params: { row: string } }>(`/${attempts}/${backoff}/:row`, { config }, async request => {
        const counter = await request.db.findOneOrFail(Counter, Number(request.params.row), { lockMode: LockMode.PESSIMISTIC_WRITE })
        counter.value++
        return 'raised'
      })
    }
  }
  let next = 0
  const raise = async () => await app.db.session.nativeUpdate(Counter, next++ % 100 + 1, { value: next })
  app.post<{ Params: { pause: string } }>('/in/:pause', async request => {
    await raise()
    await sleep(Number(request.params.pause))
    return 'raised'
  })
  app.post<{ Params: { pause: string } }>('/before/:pause', async request => {
    await sleep(Number(request.params.pause))
    await raise()
    return 'raised'
  })
  return app
}

async function close (app: FastifyInstance): Promise<void> {
  const { orm } = app.db
  await app.close()
  await orm.close()
}

/** The CPU that a process has used, in microseconds; Linux counts it in ticks of 10 ms. */
async function cpuOf (pid: number | undefined): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

function quantile (values: readonly number[], q: number): number {
  return Math.round(values.toSorted((a, b) => a - b)[Math.floor(values.length * q)] ?? NaN)
}

function cell (value: string | number, width: number): string {
  return String(value).padStart(width)
}

await runCommand(HELP, main)
