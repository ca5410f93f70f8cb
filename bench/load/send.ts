import type { Size } from '../sizes.ts'
import type { Workload } from '../workloads.ts'
import { fire, type Fired, type Load } from './fire.ts'
import { leave } from './leave.ts'

const WARM_UP_CONNECTIONS = 16

/** Sends a load, with clients that go away where the workload has such. */
export async function send (url: string, load: Load): Promise<Fired> {
  return await (load.workload.leaves ? leave : fire)(url, load)
}

/** Has a server's code optimized for what is to be measured. */
export async function warmUp (url: string, workload: Workload, { warmUpShare }: Size): Promise<void> {
  const requests = Math.max(WARM_UP_CONNECTIONS, Math.round(workload.warmUp * warmUpShare))
  await send(url, { workload, connections: WARM_UP_CONNECTIONS, requests })
}
