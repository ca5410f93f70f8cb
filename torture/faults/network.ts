import { setTimeout as sleep } from 'node:timers/promises'
import type { StrikingFault } from './fault.ts'
import { expectSomeThrough } from './field.ts'

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

/** Strands every connection there is, also in its statements. New ones lead somewhere. */
export const networkHalfOpen: StrikingFault = {
  name: 'network-half-open',
  needsServer: true,
  async strike ({ server }, random) {
    await server.proxy.strand('at once', () => sleep(random.between(300, 2_000)))
  }
}

/** Strands every connection as soon as it waits in its pool. Who is given it has to have another one. */
export const poolHalfOpen: StrikingFault = {
  name: 'pool-half-open',
  needsServer: true,
  async strike (field, random) {
    await field.server.proxy.strand('when idle', async () => {
      await sleep(random.between(100, 500))
      await expectSomeThrough(field, 'the connections in the pool lead nowhere')
    })
  }
}
