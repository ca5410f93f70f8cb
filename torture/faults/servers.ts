import { setTimeout as sleep } from 'node:timers/promises'
import type { StrikingFault } from './fault.ts'

/** How long a route that does not use the database may take while the database is frozen, in milliseconds. */
const PATIENCE = 10_000

/** Stops the database server in its tracks. Routes that do not use it have to go on. */
export const freeze: StrikingFault = {
  name: 'freeze',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    await server.freeze(async () => {
      await sleep(random.between(50, 1_500))
      const idle = await Promise.race([send('idle').answered, sleep(PATIENCE)])
      if (idle?.status !== 200) complain(`a route without a database got ${idle?.status ?? 'no answer'} while the database was frozen`)
    })
  }
}

/** Has the server refuse every connection, for it has as many as it takes. */
export const maxConnections: StrikingFault = {
  name: 'max-connections',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    const before = server.proxy.count('no place')
    await server.fillUp(async () => {
      void send('insert')
      await sleep(random.between(300, 1_500))
      if (server.proxy.count('no place') === before) complain('nobody was refused by a server that is full')
    })
  }
}

/** Kills the database server and starts it again. */
export const crash: StrikingFault = {
  name: 'crash',
  needsServer: true,
  async strike ({ server }, random) {
    await server.crash(() => sleep(random.between(0, 300)))
  }
}
