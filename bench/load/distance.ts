import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../delay.ts', import.meta.url))

/** A way to a database server that can be made longer. */
export interface Distance {
  /** What stands in the place of the server's address. */
  readonly url: string
  /** Has each round trip take so many milliseconds more. */
  set (milliseconds: number): Promise<void>
  stop (): Promise<void>
}

/** Puts one between the server at `target` and whoever connects to `url`. */
export async function putDistance (target: string): Promise<Distance> {
  const child = fork(PROGRAM, [target])
  const [url] = await once(child, 'message') as [string]
  return {
    url,
    async set (milliseconds) {
      const done = once(child, 'message')
      child.send(milliseconds)
      await done
    },
    async stop () {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    }
  }
}
