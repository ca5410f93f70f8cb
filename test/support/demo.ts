import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const DEMO = fileURLToPath(new URL('../../examples/demo/main.ts', import.meta.url))

const INTERRUPT = new URL('interrupt.ts', import.meta.url).href

/** For a child that does not end as it should, in milliseconds: it is killed, and the test goes on and fails. */
const PATIENCE = 30_000

export interface DemoSettings {
  readonly PORT?: string
  readonly DATABASE_URL?: string
  /** Ctrl-C comes at the moment when the demo prints this. */
  readonly INTERRUPT_AT?: string
}

/** `npm run demo` as a child process, and what can be read from its output. */
export class Demo {
  stdout = ''
  stderr = ''
  readonly #process: ChildProcessWithoutNullStreams
  readonly #exit: Promise<unknown[]>

  constructor (t: Test, settings: DemoSettings) {
    const { PORT = '0', DATABASE_URL = '', INTERRUPT_AT } = settings
    const interrupt = INTERRUPT_AT === undefined ? [] : ['--import', INTERRUPT]
    this.#process = spawn(process.execPath, [...interrupt, DEMO], {
      env: { ...process.env, PORT, DATABASE_URL, INTERRUPT_AT, FORCE_COLOR: undefined },
      timeout: PATIENCE,
      killSignal: 'SIGKILL'
    })
    this.#process.stdout.setEncoding('utf8').on('data', text => { this.stdout += text })
    this.#process.stderr.setEncoding('utf8').on('data', text => { this.stderr += text })
    this.#exit = once(this.#process, 'close')
    t.teardown(async () => {
      this.#process.kill('SIGKILL')
      await this.#exit
    })
  }

  /** Waits for the last of the printed curl lines. */
  async serves (): Promise<void> {
    while (!/curl .*\/notes\/fail .*\n/.test(this.stdout)) {
      const [code] = await Promise.race([once(this.#process.stdout, 'data'), this.#exit])
      if (typeof code === 'number' || code === null) throw new Error(`the demo has ended too early: ${this.stderr}`)
    }
  }

  async exitCode (): Promise<unknown> {
    const [code] = await this.#exit
    return code
  }

  async stopped (signal: NodeJS.Signals): Promise<unknown> {
    this.#process.kill(signal)
    return await this.exitCode()
  }

  /** The address in the first curl line. */
  get notesUrl (): string {
    return /^ +curl (\S+)$/m.exec(this.stdout)?.[1] ?? 'no curl line'
  }

  /** The sessions that the timeline shows for a scope. */
  sessionsOf (scope: string): string[] {
    const lines = this.stdout.matchAll(new RegExp(`^ *[\\d.]+ +${scope} +#(\\d+) `, 'gm'))
    return [...new Set([...lines].map(([, session]) => session ?? ''))]
  }

  count (text: string): number {
    return this.stdout.split(text).length - 1
  }

  /** Who is in the table at the end. */
  get authors (): string[] {
    const [, table = ''] = /In the table at the end\n(.*?)\n\n/s.exec(this.stdout) ?? []
    return [...table.matchAll(/^ +\d+ +(\w+)/gm)].map(([, author]) => author ?? '')
  }
}
