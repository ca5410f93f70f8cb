/**
 * How often does a client not read what it has just written? `npm run test:replicas -- --reads 10000` asks a real primary and a real replica, of each
 * database that this machine has, while the replica lags: with `readYourWrites`, and without.
 */
import Fastify, { type FastifyRequest } from 'fastify'
import { parseArgs } from 'node:util'
import scopedDb from '../../plugin.ts'
import { createDatabase } from './databases.ts'
import { ItemSchema as Item } from './entities.ts'
import { startReplication, type Replication, type ReplicatedKind } from './replication.ts'

export interface StaleReads {
  readonly reads: number
  readonly stale: number
  /** How many of them were served by the replica. */
  readonly fromReplica: number
}

interface Load {
  /** How often a client writes, and then reads that. */
  readonly reads: number
  readonly clients: number
  /** How long the replica applies nothing, again and again, in milliseconds, and what it has in between to catch up. */
  readonly lag: number
}

const readOnly = { config: { db: { readOnly: true } } }

/** Has clients write and read, each one after the other, on an application with that replica. */
export async function staleReads (replication: Replication, readsYourWrites: boolean, { reads, clients, lag }: Load): Promise<StaleReads> {
  const database = await createDatabase(replication.kind)
  await replication.caughtUp()
  const orm = await database.connect({ replicas: [{ clientUrl: replication.replica.url, dbName: database.options.dbName }] } as never)
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, ...readsYourWrites && { readYourWrites: { header: 'x-position', secret: 'a secret of the tests', maxWait: 200 } } })
  app.post('/items/:label', async request => { request.db.create(Item, labelOf(request)) })
  let fromReplica = 0
  app.get('/items/:label', readOnly, async request => {
    const found = await request.db.findOne(Item, labelOf(request))
    const [server] = await request.db.execute<{ replica: number | boolean }[]>(SERVER[replication.kind])
    if (server?.replica === 1 || server?.replica === true) fromReplica++
    return { found: found !== null }
  })
  const lagging = new AbortController()
  const lagged = lagAgainAndAgain(replication, lag, lagging.signal)
  let begun = 0
  let stale = 0
  const client = async () => {
    while (begun < reads) {
      const url = `/items/${begun++}`
      const { statusCode, headers } = await app.inject({ method: 'POST', url })
      if (statusCode !== 200) throw new Error(`a write was answered ${statusCode}`)
      const position = headers['x-position']
      const read = await app.inject({ url, headers: typeof position === 'string' ? { 'x-position': position } : {} })
      if (read.statusCode !== 200) throw new Error(`a read was answered ${read.statusCode}: ${read.body}`)
      if (!read.json<{ found: boolean }>().found) stale++
    }
  }
  try {
    await Promise.all(Array.from({ length: clients }, client))
  } finally {
    lagging.abort()
    await lagged
    await app.close()
    await orm.close()
    await replication.caughtUp()
    await database.drop()
  }
  return { reads, stale, fromReplica }
}

function labelOf ({ params }: FastifyRequest): { label: string } {
  return { label: (params as { label: string }).label }
}

/** Inside the read-only transaction, so that it is about the same server. */
const SERVER: Record<ReplicatedKind, string> = { mysql: 'select @@server_id = 2 as replica', postgresql: 'select pg_is_in_recovery() as replica' }

async function lagAgainAndAgain ({ pause, resume }: Replication, lag: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause()
    await new Promise(resolve => { setTimeout(resolve, lag) })
    await resume()
    await new Promise(resolve => { setTimeout(resolve, lag) })
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { reads: { type: 'string', default: '10000' }, clients: { type: 'string', default: '10' }, lag: { type: 'string', default: '50' }, database: { type: 'string' } } })
  const load = { reads: Number(values.reads), clients: Number(values.clients), lag: Number(values.lag) }
  for (const kind of ['mysql', 'postgresql'] as const) {
    if (values.database !== undefined && values.database !== kind) continue
    const replication = await startReplication(kind)
    if (replication === undefined) {
      console.log(`${kind}: no server on this machine`)
      continue
    }
    process.env[kind === 'mysql' ? 'MYSQL_URL' : 'PG_URL'] = replication.primary.url
    try {
      for (const readsYourWrites of [true, false]) {
        const { reads, stale, fromReplica } = await staleReads(replication, readsYourWrites, load)
        console.log(`${kind}, ${readsYourWrites ? 'with' : 'without'} readYourWrites: ${stale} of ${reads} reads were stale, ${fromReplica} came from the replica`)
        if (readsYourWrites && stale > 0) process.exitCode = 1
      }
    } finally {
      await replication.stop()
    }
  }
}
