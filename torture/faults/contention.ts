import { setTimeout as sleep } from 'node:timers/promises'
import type { RequestFault, StrikingFault } from './fault.ts'

/** A unique constraint that refuses the unit of work only at its end: with a small reply, with an open file, in either of two databases. */
export const unique: RequestFault = { name: 'unique', routes: ['insert', 'download', 'both'], order: () => ({ collides: true }) }

/** Requests that lock the same two counters from both ends. */
export const deadlock: StrikingFault = {
  name: 'deadlock',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    const before = server.proxy.count('deadlock')
    for (let attempt = 0; attempt < 5 && server.proxy.count('deadlock') === before; attempt++) {
      const counters = random.shuffled([1, 2])
      const route = random.pick(['read-modify-write', 'retry'])
      const requests = [counters, counters.toReversed(), counters, counters.toReversed()]
      await Promise.all(requests.map(counters => send(route, { counters, pause: 30 }).answered))
    }
    if (server.proxy.count('deadlock') === before) complain('there was no deadlock')
  }
}

/** Somebody has the counters locked for longer than the server lets others wait, a second, or two where it looks only now and then. */
export const lockWait: StrikingFault = {
  name: 'lock-wait',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    const before = server.proxy.count('lock timeout')
    // All connections may be held by others that wait, and are done again afterwards.
    for (let attempt = 0; attempt < 3 && server.proxy.count('lock timeout') === before; attempt++) {
      await server.lockCounters(async () => {
        const waiting = [1, 2].map(counter => send('update', { counters: [counter] }).answered)
        await sleep(random.between(2_100, 2_500))
        await Promise.all(waiting)
      })
    }
    if (server.proxy.count('lock timeout') === before) complain('nobody waited too long for a lock')
  }
}

/** As many requests as there are connections hold on to theirs for longer than the others wait. */
export const pool: StrikingFault = {
  name: 'pool',
  needsServer: false,
  async strike ({ connections, acquireTimeout, send, answered, complain }, random) {
    const before = answered('FST_SCOPED_DB_ACQUIRE_TIMEOUT')
    const pause = acquireTimeout + random.between(100, 500)
    await Promise.all(Array.from({ length: connections * 2 }, () => send('hold', { pause }).answered))
    if (answered('FST_SCOPED_DB_ACQUIRE_TIMEOUT') === before) complain('nobody waited too long for a connection')
  }
}
