import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ContenderName } from './contenders/all.ts'
import type { Database } from './database.ts'

/** What a server process has used. */
export interface Usage {
  /** CPU time of all of its threads so far, in microseconds. */
  readonly cpu: number
  /** How many milliseconds each collection of the young generation of the heap took, since this was asked last. */
  readonly scavenges: readonly number[]
}

/** What a server process can be asked. */
export interface Answers {
  address: string
  usage: Usage
  /** Bytes of the JavaScript heap after a full garbage collection. */
  heap: number
  /** How many requests are kept waiting. */
  held: number
  /** Lets them go. */
  release: void
}

export type Question = keyof Answers

interface Reply {
  readonly id: number
  readonly answer: unknown
}

const PROGRAM = fileURLToPath(new URL('server.ts', import.meta.url))

/** The process of one contender. */
export class ServerProcess<Name extends ContenderName = ContenderName> {
  readonly name: Name
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: unknown) => void>()
  #questions = 0

  private constructor (name: Name, child: ChildProcess) {
    this.name = name
    this.#child = child
    child.on('message', ({ id, answer }: Reply) => {
      this.#waiting.get(id)?.(answer)
      this.#waiting.delete(id)
    })
  }

  /**
   * Starts a contender with a database of its own, and waits until it listens.
   * @throws Error when it ends instead
   */
  static async start<Name extends ContenderName> (name: Name, { kind, url }: Database, flags: readonly string[] = []): Promise<ServerProcess<Name>> {
    const child = fork(PROGRAM, [name, kind, url], { execArgv: ['--expose-gc', ...flags], env: { ...process.env, NODE_ENV: 'production' } })
    const ended = once(child, 'exit').then(([code]) => { throw new Error(`the server "${name}" ended with ${String(code)}`) })
    await Promise.race([once(child, 'message'), ended])
    return new ServerProcess(name, child)
  }

  async ask<Q extends Question> (question: Q): Promise<Answers[Q]> {
    const id = ++this.#questions
    const answered = new Promise(resolve => { this.#waiting.set(id, resolve) })
    this.#child.send({ id, question })
    return await answered as Answers[Q]
  }

  async stop (): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }
}
