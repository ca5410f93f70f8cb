import type { ContenderName } from '../contenders/all.ts'
import { askServer, DATABASES, type Database, type DatabaseKind } from '../database.ts'
import { putDistance } from '../load/distance.ts'
import { warmUp } from '../load/send.ts'
import { ServerProcess } from '../server-process.ts'
import type { Size } from '../sizes.ts'
import { median } from '../statistics.ts'
import { INSERT } from '../workloads.ts'
import { measureRounds, type Rounds } from './throughput.ts'

/** Inserts while the database is some way off. */
export interface Latency {
  readonly database: DatabaseKind
  /** By how many milliseconds each round trip was made longer. */
  readonly delay: number
  /** What a round trip took then: the median of `select 1`, in milliseconds. */
  readonly roundTrip: number
  readonly rounds: Rounds
}

const CONTENDERS = ['hand-written', 'request-context', 'scoped-db on', 'scoped-db begin apart'] as const satisfies ContenderName[]

/** The same rack, another one, another building. */
const DELAYS = [0, 0.5, 2]

const CONNECTIONS = 16
const PINGS = 200

export async function measureLatency ({ kind, url }: Database, size: Size, progress: (text: string) => void): Promise<Latency[]> {
  const distance = await putDistance(url)
  const servers: ServerProcess<ContenderName>[] = []
  const all: Latency[] = []
  try {
    for (const name of CONTENDERS) servers.push(await ServerProcess.start(name, { kind, url: distance.url }))
    progress(`${DATABASES[kind]}: latency, warming up`)
    await Promise.all(servers.map(async server => { await warmUp(await server.ask('address'), INSERT, size) }))
    for (const delay of DELAYS) {
      progress(`${DATABASES[kind]}: latency, ${delay} ms away`)
      await distance.set(delay)
      const { milliseconds } = await askServer({ kind, url: distance.url }, 'select 1', PINGS)
      const rounds = await measureRounds(servers, { workload: INSERT, connections: CONNECTIONS, requests: size.latencyRequests }, size.latencyRounds)
      all.push({ database: kind, delay, roundTrip: median(milliseconds), rounds })
    }
    return all
  } finally {
    for (const server of servers) await server.stop()
    await distance.stop()
  }
}
