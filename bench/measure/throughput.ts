import type { ContenderName } from '../contenders/all.ts'
import { DATABASES, type Database, type DatabaseKind } from '../database.ts'
import type { Load } from '../load/fire.ts'
import { send, warmUp } from '../load/send.ts'
import type { Size } from '../sizes.ts'
import { ServerProcess } from '../server-process.ts'
import { quantile } from '../statistics.ts'
import { answerable, type Workload } from '../workloads.ts'
import { setTimeout as sleep } from 'node:timers/promises'

/** What one contender did in one round. */
export interface Round {
  /** CPU time of the server process, in microseconds per request. */
  readonly cpu: number
  /** How many milliseconds each of them took. */
  readonly scavenges: readonly number[]
  readonly perSecond: number
  /** In milliseconds. */
  readonly p50: number
  readonly p99: number
}

export type Rounds = Partial<Record<ContenderName, Round[]>>

/** All rounds of one workload, on one database and at one number of connections. */
export interface Series {
  readonly workload: string
  readonly database: DatabaseKind
  readonly connections: number
  /** How many requests a round has. */
  readonly requests: number
  readonly rounds: Rounds
}

/** In several generations of processes. The contenders take turns, so that what the machine does meanwhile meets all of them. */
export async function measureThroughput (database: Database, workloads: readonly Workload[], size: Size, progress: (text: string) => void): Promise<Series[]> {
  let all: Series[] = []
  for (let generation = 1; generation <= size.generations; generation++) {
    const own = await measureGeneration(database, workloads, size, text => progress(`${text}, ${generation} of ${size.generations}`))
    all = generation === 1 ? own : all.map((series, n) => joined(series, own[n] as Series))
  }
  return all
}

function joined (before: Series, after: Series): Series {
  const rounds = Object.entries(after.rounds).map(([name, rounds]) => [name, [...before.rounds[name as ContenderName] ?? [], ...rounds]])
  return { ...before, rounds: Object.fromEntries(rounds) as Rounds }
}

async function measureGeneration (database: Database, workloads: readonly Workload[], size: Size, progress: (text: string) => void): Promise<Series[]> {
  const servers: ServerProcess<ContenderName>[] = []
  const all: Series[] = []
  try {
    const contenders = size.contenders.filter(name => answerable(name, workloads).length > 0)
    for (const name of contenders) servers.push(await ServerProcess.start(name, database, size.flags))
    for (const workload of workloads) {
      const able = servers.filter(({ name }) => answerable(name, [workload]).length > 0)
      progress(`${DATABASES[database.kind]}: ${workload.title}, warming up`)
      await Promise.all(able.map(async server => { await warmUp(await server.ask('address'), workload, size) }))
      for (const connections of size.connections) {
        progress(`${DATABASES[database.kind]}: ${workload.title}, ${connections} connections`)
        const requests = Math.max(Math.round(size.roundCpu / workload.expectedCost), connections)
        const rounds = await measureRounds(able, { workload, connections, requests }, size.rounds / size.generations)
        all.push({ workload: workload.name, database: database.kind, connections, requests, rounds })
      }
    }
  } finally {
    for (const server of servers) await server.stop()
  }
  return all
}

/** In turns: A B C, B C A, C A B, so that nobody is always the first. */
export async function measureRounds (servers: readonly ServerProcess<ContenderName>[], load: Load, count: number): Promise<Rounds> {
  const rounds: Rounds = {}
  for (let round = 0; round < count; round++) {
    const first = round % servers.length
    for (const server of [...servers.slice(first), ...servers.slice(0, first)]) (rounds[server.name] ??= []).push(await measureRound(server, load))
  }
  return rounds
}

/** One turn of one contender. */
export async function measureRound (server: ServerProcess, load: Load): Promise<Round> {
  const url = await server.ask('address')
  const before = await server.ask('usage')
  const fired = await send(url, load)
  // What those who have left have begun belongs to them.
  if (load.workload.leaves) await sleep(100)
  const after = await server.ask('usage')
  return {
    cpu: (after.cpu - before.cpu) / fired.requests,
    scavenges: after.scavenges,
    perSecond: fired.requests / fired.seconds,
    p50: quantile(fired.latencies, 0.5),
    p99: quantile(fired.latencies, 0.99)
  }
}
