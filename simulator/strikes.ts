import type { Random } from '../torture/random.ts'
import { clock } from './clock.ts'
import type { Cluster } from './database/cluster.ts'
import { OF_SERVERS, type Faults } from './faults.ts'

/** How long a node is in trouble at most, in milliseconds. */
const LONGEST = 3_000

/** When the last may come, in milliseconds. */
const LAST = 1_500

/** How far the calendar may be set, in milliseconds. */
const DAYS = 5 * 86_400_000

/** Has things happen to servers, idle connections and the calendar while requests run. */
export function planStrikes (cluster: Cluster, faults: Faults, random: Random): void {
  const node = () => random.pick(cluster.nodes)
  const long = () => random.between(1, LONGEST)
  const idle = () => cluster.sessions.filter(({ isWorking }) => !isWorking && random.oneIn(2))
  const strikes: Record<typeof OF_SERVERS[number], () => void> = {
    crash: () => { node().crash(long()) },
    freeze: () => { node().freeze(long()) },
    partition: () => { node().partition(long()) },
    'not-primary': () => { node().isolate(long()) },
    'read-only': () => { node().becomeReadOnly(long()) },
    full: () => { node().fill(long()) },
    'kill-idle': () => { for (const { link } of idle()) link.end() },
    'half-open': () => { for (const { link } of idle()) link.silence() },
    clock: () => { clock.skew = random.between(-DAYS, DAYS) }
  }
  for (const name of faults.among(OF_SERVERS)) {
    clock.after(random.between(1, LAST), () => {
      if (!faults.areActive) return
      faults.count(name)
      cluster.tell(name)
      strikes[name]()
    })
  }
}
