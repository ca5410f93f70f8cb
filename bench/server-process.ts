import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { SubjectName } from './contenders/all.ts'
import type { DatabaseKind } from './database.ts'

/** What a server process can be asked. */
export interface Answers {
  address: string
  /** CPU time so far, of all of its threads, in microseconds. */
  cpu: number
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
export class ServerProcess<Name extends SubjectName = SubjectName> {
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
  static async start<Name extends SubjectName> (name: Name, kind: DatabaseKind, url: string | undefined, execArgv: string[] = []): Promise<ServerProcess<Name>> {
    const args = url === undefined ? [name, kind] : [name, kind, url]
    const child = fork(PROGRAM, args, { execArgv: ['--expose-gc', ...execArgv], env: { ...process.env, NODE_ENV: 'production' } })
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
