import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerProcess } from '../server-process.ts'

const PROGRAM = fileURLToPath(new URL('hold.ts', import.meta.url))

/** Has `count` requests to a route kept open by a process of its own, until what it returns is called. */
export async function hold (server: ServerProcess, path: string, count: number): Promise<() => Promise<void>> {
  const child = fork(PROGRAM, [`${await server.ask('address')}${path}`, String(count)])
  const before = await server.ask('held')
  while (await server.ask('held') < before + count) {
    if (child.exitCode !== null) throw new Error(`the process that holds requests ended with ${child.exitCode}`)
    await sleep(50)
  }
  return async () => {
    await server.ask('release')
    const ended = once(child, 'exit')
    child.disconnect()
    await ended
    while (await server.ask('held') > 0) await sleep(50)
  }
}
