import { setTimeout as sleep } from 'node:timers/promises'
import type { TorturedNode } from '../database/server.ts'
import type { Random } from '../random.ts'
import type { Field, StrikingFault } from './fault.ts'
import { expectIdleServed, expectSomeThrough } from './field.ts'

/** How long it takes the other nodes to go on without one that is silent, about, in milliseconds. Nobody can commit meanwhile. */
const SUSPICION = 3_000

/** How often it is tried whether the others serve: they have to find out first that they are enough, and so has HAProxy. */
const ROUNDS = 20

/** Requests that change the same counter on several nodes. Who comes second is told so by COMMIT. */
export const conflict: StrikingFault = {
  name: 'conflict',
  needsServer: true,
  needsCluster: true,
  async strike ({ server, send, complain }, random) {
    const before = server.proxy.count('conflict at COMMIT')
    const counters = [random.between(1, 3)]
    for (let round = 0; round < 10 && server.proxy.count('conflict at COMMIT') === before; round++) {
      await Promise.all(Array.from({ length: 12 }, () => send(random.pick(['update', 'read-modify-write', 'retry']), { counters, pause: 5 }).answered))
    }
    if (server.proxy.count('conflict at COMMIT') === before) complain('no COMMIT was refused because of another node')
  }
}

/** Kills one node and starts it again. The others go on without it, and have to be found. */
export const nodeCrash: StrikingFault = {
  name: 'node-crash',
  needsServer: true,
  needsCluster: true,
  async strike (field, random) {
    const node = nodeOf(field, random)
    await node.crash(async () => {
      await sleep(random.between(0, 1_000))
      if (random.oneIn(2)) return
      await sleep(SUSPICION)
      await node.othersServe()
      await expectSomeThrough(field, 'a node is away', ROUNDS)
    })
  }
}

/** Stops one node in its tracks, for less time than the others wait for it, or for more. */
export const nodeFreeze: StrikingFault = {
  name: 'node-freeze',
  needsServer: true,
  needsCluster: true,
  async strike (field, random) {
    const node = nodeOf(field, random)
    await node.freeze(async () => {
      await sleep(random.between(100, 1_500))
      await expectIdleServed(field, 'a node is frozen')
      if (random.oneIn(2)) return
      await sleep(SUSPICION)
      await node.othersServe()
      await expectSomeThrough(field, 'a node is frozen', ROUNDS)
    })
  }
}

/** Cuts one node off while the others are slow, so that nobody knows for a while who is right. */
export const nodeIsolated: StrikingFault = {
  name: 'node-isolated',
  needsServer: true,
  needsCluster: true,
  async strike (field, random) {
    const node = nodeOf(field, random)
    const over = new AbortController()
    const slow = field.server.nodes.filter(other => other !== node).map(async other => await other.slow(random, over.signal))
    await node.isolate(async () => {
      await sleep(random.between(500, 4_000))
      over.abort()
      await Promise.all(slow)
    })
  }
}

/** Leaves connections in the pool whose node serves nobody any more, and does not close them. Who is given one has to have another. */
export const nodeNotPrimary: StrikingFault = {
  name: 'node-not-primary',
  needsServer: true,
  needsCluster: true,
  async strike (field, random) {
    const node = nodeOf(field, random)
    await node.isolate(async () => {
      await node.isOut()
      await node.othersServe()
      await expectSomeThrough(field, 'a node is not primary', ROUNDS)
      await sleep(random.between(0, 1_000))
    })
  }
}

function nodeOf ({ server }: Field, random: Random): TorturedNode {
  return random.pick(server.nodes)
}
