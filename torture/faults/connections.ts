import { setTimeout as sleep } from 'node:timers/promises'
import type { Doing, TorturedServer } from '../database/server.ts'
import type { CommitLoss } from '../database/proxy.ts'
import type { Random } from '../random.ts'
import type { Field, StrikingFault } from './fault.ts'

/** How long to wait for what a strike needs to happen, in milliseconds. */
const PATIENCE = 5_000

/** Kills connections between two statements: in the pool, or in the middle of a transaction. */
export const killIdle: StrikingFault = {
  name: 'kill-idle',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    const { arrived, answered } = send('hold', { pause: 100 })
    await Promise.race([arrived, answered])
    if (!await killSome(server, 'nothing', random)) complain('no connection was idle to be killed')
    await answered
  }
}

/** Kills connections while their statement runs: it waits for a lock, so that there is one. */
export const killStatement: StrikingFault = {
  name: 'kill-statement',
  needsServer: true,
  async strike ({ server, send, complain }, random) {
    let waiting: Promise<unknown>[] = []
    await server.lockCounters(async () => {
      waiting = [1, 2, 3].map(counter => send('update', { counters: [counter] }).answered)
      if (!await killSome(server, 'statement', random)) complain('no connection had a statement to be killed in')
    })
    await Promise.all(waiting)
  }
}

/** Kills a few of the connections that do this, as soon as there are any. */
async function killSome (server: TorturedServer, doing: Doing, random: Random): Promise<boolean> {
  const deadline = performance.now() + PATIENCE
  while (performance.now() < deadline) {
    const found = random.shuffled(await server.connections(doing)).slice(0, 4)
    await Promise.all(found.map(connection => server.kill(connection)))
    if (found.length > 0) return true
    await sleep(20)
  }
  return false
}

/** Loses a connection in its COMMIT: before the server has it, after the server has carried it out, or just then. */
export const killCommit: StrikingFault = {
  name: 'kill-commit',
  needsServer: true,
  strike: async field => await loseCommits(field, ['before it arrives', 'after its answer', 'killed'], 'insert', 0)
}

/** Has a COMMIT answered with an error that is a refusal, or with one that is not known to be one. */
export const refuseCommit: StrikingFault = {
  name: 'refuse-commit',
  needsServer: true,
  strike: async field => await loseCommits(field, ['carried out, unclear answer', 'rolled back, unclear answer', 'refused'], 'insert', 0)
}

/** Loses the COMMIT of the second database, when the first has carried out its own. */
export const secondCommit: StrikingFault = {
  name: 'second-commit',
  needsServer: true,
  strike: async field => await loseCommits(field, ['before it arrives', 'after its answer', 'refused'], 'both', 1)
}

/** Carries a COMMIT out, and never answers it. Who has a time limit has to be told that nobody knows. */
export const silentCommit: StrikingFault = {
  name: 'silent-commit',
  needsServer: true,
  async strike ({ server, send, complain }) {
    let isLost = false
    for (let attempt = 0; attempt < 5 && !isLost; attempt++) {
      const { token, answered } = send('limited')
      isLost = await server.proxy.loseNextCommit('never answered', `'${token}'`, PATIENCE)
      const answer = await Promise.race([answered, sleep(PATIENCE)])
      if (answer === undefined) complain('a request with a time limit waits for its COMMIT')
    }
    server.proxy.breakOff()
    if (!isLost) complain('no COMMIT came to be left without an answer')
  }
}

async function loseCommits ({ server, send, complain }: Field, losses: CommitLoss[], route: string, database: 0 | 1): Promise<void> {
  for (const loss of losses) {
    const lost = server.proxy.loseNextCommit(loss, `${server.databases[database]}\0`, PATIENCE)
    let isLost: boolean | undefined
    while (isLost === undefined) isLost = await Promise.race([lost, send(route).answered.then(() => undefined)])
    if (!isLost) complain('no COMMIT came to be lost')
  }
}
