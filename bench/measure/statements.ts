import { fire } from '../load/fire.ts'
import type { ContenderName } from '../contenders/all.ts'
import type { Database, DatabaseKind } from '../database.ts'
import { ServerProcess } from '../server-process.ts'
import { tapWire } from '../wire.ts'
import { answerable, workloads } from '../workloads.ts'

/** What one request of a workload sends to its database server. */
export interface Statements {
  readonly contender: ContenderName
  readonly database: DatabaseKind
  readonly workload: string
  readonly statements: number
  readonly roundTrips: number
}

const REQUESTS = 20

/** Counted on the wire, one request after the other, after the pool has its connection. */
export async function countStatements ({ kind, url }: Database, contenders: readonly ContenderName[]): Promise<Statements[]> {
  const all: Statements[] = []
  for (const contender of contenders) {
    const wire = await tapWire(url)
    const server = await ServerProcess.start(contender, { kind, url: wire.url })
    try {
      const address = await server.ask('address')
      for (const workload of answerable(contender, workloads).filter(({ leaves }) => !leaves)) {
        await fire(address, { workload, connections: 1, requests: 2 })
        wire.take()
        const { requests } = await fire(address, { workload, connections: 1, requests: REQUESTS })
        const { statements, roundTrips } = wire.take()
        all.push({ contender, database: kind, workload: workload.name, statements: statements / requests, roundTrips: roundTrips / requests })
      }
    } finally {
      await server.stop()
      await wire.stop()
    }
  }
  return all
}
