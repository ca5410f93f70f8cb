import { stop } from './applications.ts'
import { clientFaults } from './clients.ts'
import { killCommit, killIdle, killStatement } from './connections.ts'
import { deadlock, lockWait, pool, unique } from './contention.ts'
import type { RequestFault, StrikingFault } from './fault.ts'
import { networkCut, networkDelay } from './network.ts'
import { crash, freeze } from './servers.ts'

/** The faults that a run has. */
export interface Faults {
  /** Which requests bring with them. */
  readonly ofRequests: readonly RequestFault[]
  /** Which strike whatever is under way. */
  readonly striking: readonly StrikingFault[]
}

const REQUEST_FAULTS = [...clientFaults, unique]

const STRIKING_FAULTS = [deadlock, lockWait, pool, killIdle, killStatement, killCommit, freeze, crash, networkCut, networkDelay, stop]

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
