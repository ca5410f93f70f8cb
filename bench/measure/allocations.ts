import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ContenderName, SubjectName } from '../contenders/all.ts'
import type { Workload } from '../workloads.ts'

/** What one request of a workload makes, its client in the same process included, without V8's optimizations. */
export interface Allocations {
  readonly contender: SubjectName
  readonly workload: string
  readonly promises: number
  readonly bytes: number
}

const PROGRAM = fileURLToPath(new URL('../allocations.ts', import.meta.url))

/** So much room that nothing is collected while it is counted. */
const FLAGS = ['--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=128']

/** Of one workload, in a process of its own. */
export async function allocationsOf (contender: SubjectName, { name }: Workload): Promise<Allocations> {
  const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, PROGRAM, contender, name])
  return { contender, workload: name, ...JSON.parse(stdout) as Pick<Allocations, 'promises' | 'bytes'> }
}

/** Of all but the list, which makes more than there is room for, and of clients that go away. */
export async function countAllocations (workloads: readonly Workload[], contenders: readonly ContenderName[]): Promise<Allocations[]> {
  const all: Allocations[] = []
  for (const workload of workloads.filter(({ name, leaves }) => name !== 'list' && !leaves)) {
    for (const contender of contenders) if (contender !== 'bare' || !workload.usesDatabase) all.push(await allocationsOf(contender, workload))
  }
  return all
}
