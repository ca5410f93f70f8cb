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

/** How long a request may take that is not to take long, in milliseconds. */
const PATIENCE = 10_000

/** Strands every connection there is, also in its statements. New ones lead somewhere. Who has a time limit has to keep to it. */
export const networkHalfOpen: StrikingFault = {
  name: 'network-half-open',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    const limited = Array.from({ length: 3 }, () => send('limited'))
    await Promise.all(limited.map(({ arrived, answered }) => Promise.race([arrived, answered])))
    await server.proxy.strand('at once', async () => {
      await sleep(random.between(100, 1_500))
      const answers = await Promise.race([Promise.all(limited.map(({ answered }) => answered)), sleep(PATIENCE)])
      if (answers === undefined) complain('a request with a time limit waits for a connection that leads nowhere')
    })
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
