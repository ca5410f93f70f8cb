import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ContenderName } from '../contenders/all.ts'
import { answerable, workloads } from '../workloads.ts'

/** What one request of a workload makes, its client in the same process included, without V8's optimizations. */
export interface Allocations {
  readonly contender: ContenderName
  readonly workload: string
  readonly promises: number
  readonly bytes: number
}

const PROGRAM = fileURLToPath(new URL('../allocations.ts', import.meta.url))

/** So much room that nothing is collected while it is counted. */
const FLAGS = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256']

/** Of all workloads but clients that go away, each contender in a process of its own. */
export async function countAllocations (contenders: readonly ContenderName[]): Promise<Allocations[]> {
  const all: Allocations[] = []
  for (const contender of contenders) {
    const names = answerable(contender, workloads).filter(({ leaves }) => !leaves).map(({ name }) => name)
    const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, PROGRAM, contender, ...names])
    all.push(...JSON.parse(stdout) as Allocations[])
  }
  return all
}
