import { stop } from './applications.ts'
import { clientFaults } from './clients.ts'
import { killCommit, killIdle, killStatement, refuseCommit, secondCommit, silentCommit } from './connections.ts'
import { deadlock, lockWait, pool, unique } from './contention.ts'
import type { RequestFault, StrikingFault } from './fault.ts'
import { networkCut, networkDelay, networkHalfOpen, poolHalfOpen } from './network.ts'
import { crash, freeze, maxConnections } from './servers.ts'
import { slowReader, slowUpload, stalledReaders, stalledUploads } from './stalls.ts'
import { unconvertible } from './values.ts'

/** The faults that a run has. */
export interface Faults {
  /** Which requests bring with them. */
  readonly ofRequests: readonly RequestFault[]
  /** Which strike whatever is under way. */
  readonly striking: readonly StrikingFault[]
}

const REQUEST_FAULTS = [...clientFaults, slowUpload, slowReader, unique, unconvertible]

const STRIKING_FAULTS = [
  deadlock, lockWait, pool, stalledUploads, stalledReaders,
  killIdle, killStatement, killCommit, refuseCommit, secondCommit, silentCommit,
  freeze, crash, maxConnections, networkCut, networkDelay, networkHalfOpen, poolHalfOpen,
  stop
]

/** The names of all faults that can be done to a database. */
export function faultNames (hasServer: boolean): string[] {
  return [...REQUEST_FAULTS, ...STRIKING_FAULTS.filter(fault => hasServer || !fault.needsServer)].map(({ name }) => name)
}

export function chooseFaults (names: readonly string[]): Faults {
  return {
    ofRequests: REQUEST_FAULTS.filter(({ name }) => names.includes(name)),
    striking: STRIKING_FAULTS.filter(({ name }) => names.includes(name))
  }
}
