import { setTimeout as sleep } from 'node:timers/promises'
import type { StrikingFault } from './fault.ts'

/** Breaks off every connection to the database, and refuses new ones for a while. */
export const networkCut: StrikingFault = {
  name: 'network-cut',
  needsServer: true,
  async strike ({ server }, random) {
    await server.proxy.cut(() => sleep(random.between(50, 600)))
  }
}

/** Lets nothing through to the database for a while, then everything slowly. */
export const networkDelay: StrikingFault = {
  name: 'network-delay',
  needsServer: true,
  async strike ({ server }, random) {
    await server.proxy.hold(() => sleep(random.between(50, 1_500)))
    await server.proxy.delay(random.between(2, 20), () => sleep(random.between(100, 500)))
  }
}
