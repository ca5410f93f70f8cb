import { setTimeout as sleep } from 'node:timers/promises'
import type { StrikingFault } from './fault.ts'
import { expectIdleServed } from './field.ts'

/** Stops the database server in its tracks. Routes that do not use it have to go on. */
export const freeze: StrikingFault = {
  name: 'freeze',
  needsServer: true,
  async strike (field, random) {
    await field.server.freeze(async () => {
      await sleep(random.between(50, 1_500))
      await expectIdleServed(field, 'the database is frozen')
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
