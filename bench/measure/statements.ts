import { fire } from '../load/fire.ts'
import type { ContenderName } from '../contenders/all.ts'
import { ServerProcess } from '../server-process.ts'
import { tapWire } from '../wire.ts'
import type { Workload } from '../workloads.ts'

/** What one request of a workload sends to MariaDB. */
export interface Statements {
  readonly contender: ContenderName
  readonly workload: string
  readonly statements: number
  readonly roundTrips: number
}

const REQUESTS = 20

/** Counted on the wire, one request after the other, after the pool has its connection. */
export async function countStatements (url: string, workloads: readonly Workload[], contenders: readonly ContenderName[]): Promise<Statements[]> {
  const all: Statements[] = []
  for (const contender of contenders) {
    const wire = await tapWire(url)
    const server = await ServerProcess.start(contender, 'mariadb', wire.url)
    try {
      for (const workload of workloads) {
        if (workload.leaves || (contender === 'bare' && workload.usesDatabase)) continue
        const address = await server.ask('address')
        await fire(address, { workload, connections: 1, requests: 2 })
        wire.take()
        const { requests } = await fire(address, { workload, connections: 1, requests: REQUESTS })
        const { statements, roundTrips } = wire.take()
        all.push({ contender, workload: workload.name, statements: statements.length / requests, roundTrips: roundTrips / requests })
      }
    } finally {
      await server.stop()
      await wire.stop()
    }
  }
  return all
}
