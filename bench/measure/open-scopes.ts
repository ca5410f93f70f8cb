import type { ContenderName } from '../contenders/all.ts'
import { IN_MEMORY } from '../database.ts'
import { hold } from '../load/holder.ts'
import { warmUp } from '../load/send.ts'
import { ServerProcess } from '../server-process.ts'
import type { Size } from '../sizes.ts'
import { ratios, type Spread } from '../statistics.ts'
import { STATIC } from '../workloads.ts'
import { measureRound } from './throughput.ts'

/** What a request costs while others are kept open, beside what it costs while one is. */
export interface OpenScopes {
  readonly contender: ContenderName
  readonly open: number
  /** CPU per request, times that with one open. */
  readonly cpu: Spread
}

interface Crowd {
  readonly contender: ContenderName
  readonly open: number
  readonly server: ServerProcess
  readonly cpu: number[]
  release (): Promise<void>
}

const CONTENDERS = ['bare', 'scoped-db on'] as const satisfies ContenderName[]

const CONNECTIONS = 50

/** Bare Fastify keeps as many requests open, without sessions: what is left is the sessions' own. On SQLite, which they do not ask for anything. */
export async function measureOpenScopes (size: Size): Promise<OpenScopes[]> {
  const requests = Math.max(CONNECTIONS, Math.round(size.roundCpu / STATIC.expectedCost))
  const crowds: Crowd[] = []
  try {
    for (const contender of CONTENDERS) {
      for (const part of [0, 0.01, 0.1, 1]) {
        const open = Math.max(1, Math.round(size.openScopes * part))
        const server = await ServerProcess.start(contender, IN_MEMORY)
        // Before: V8 would take the first hundred that stay for the rule, and make room for all later ones among what is old.
        await warmUp(await server.ask('address'), STATIC, size)
        const release = await hold(server, contender === 'bare' ? '/held' : '/held-with-session', open)
        crowds.push({ contender, open, server, cpu: [], release })
      }
    }
    for (let round = 0; round < size.rounds; round++) {
      for (const { server, cpu } of crowds) cpu.push((await measureRound(server, { workload: STATIC, connections: CONNECTIONS, requests })).cpu)
    }
    return crowds.map(({ contender, open, cpu }) => {
      const alone = crowds.find(crowd => crowd.contender === contender)
      return { contender, open, cpu: ratios(cpu, alone?.cpu ?? []) }
    })
  } finally {
    for (const { server, release } of crowds) {
      await release()
      await server.stop()
    }
  }
}
