import { stop } from './applications.ts'
import { clientFaults } from './clients.ts'
import { killCommit, killIdle, killStatement, refuseCommit, secondCommit, silentCommit } from './connections.ts'
import { deadlock, lockWait, pool, unique } from './contention.ts'
import { conflict, nodeCrash, nodeFreeze, nodeIsolated, nodeNotPrimary } from './cluster.ts'
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

const STRIKING_FAULTS: StrikingFault[] = [
  deadlock, lockWait, pool, stalledUploads, stalledReaders,
  killIdle, killStatement, killCommit, refuseCommit, secondCommit, silentCommit,
  conflict, nodeCrash, nodeFreeze, nodeIsolated, nodeNotPrimary,
  freeze, crash, maxConnections, networkCut, networkDelay, networkHalfOpen, poolHalfOpen,
  stop
]

/** What a database may be, each with all that there is to those before it. */
const KINDS = ['file', 'server', 'cluster'] as const

/** The names of all faults that can be done to a database of this kind. */
export function faultNames (kind: typeof KINDS[number]): string[] {
  const needed = ({ needsServer, needsCluster }: StrikingFault) => KINDS.indexOf(needsCluster === true ? 'cluster' : needsServer ? 'server' : 'file')
  return [...REQUEST_FAULTS, ...STRIKING_FAULTS.filter(fault => needed(fault) <= KINDS.indexOf(kind))].map(({ name }) => name)
}

export function chooseFaults (names: readonly string[]): Faults {
  return {
    ofRequests: REQUEST_FAULTS.filter(({ name }) => names.includes(name)),
    striking: STRIKING_FAULTS.filter(({ name }) => names.includes(name))
  }
}
