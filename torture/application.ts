import { spawn, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ApplicationSettings, ApplicationState, FromApplication, Stage } from './application/messages.ts'

const MAIN = fileURLToPath(new URL('./application/main.ts', import.meta.url))

/** How long it may take to stop after SIGTERM, in milliseconds, before it is killed. */
const STOP_PATIENCE = 30_000

/** One process of the application under test. */
export class Application {
  readonly port: number
  readonly #process: ChildProcess
  readonly #events: EventEmitter
  readonly #ended: Promise<unknown[]>
  #isStopping = false
  readonly #complain: (what: string) => void

  private constructor (process: ChildProcess, events: EventEmitter, port: number, complain: (what: string) => void, lost: (error: Error) => void) {
    this.#process = process
    this.#events = events
    this.#complain = complain
    this.port = port
    this.#ended = once(process, 'exit')
    void this.#ended.then(([code, signal]) => {
      if (!this.#isStopping) lost(new Error(`the application ended by itself (${signal ?? `exit code ${code}`})`))
    })
  }

  /**
   * Starts the process, and waits until it listens.
   * @param complain takes what must not happen, such as anything on its standard error
   * @param lost is called if it ends without being told to
   */
  static async start (settings: ApplicationSettings, complain: (what: string) => void, lost: (error: Error) => void): Promise<Application> {
    const child = spawn(process.execPath, ['--expose-gc', MAIN, JSON.stringify(settings)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    child.stderr?.pipe(createWriteStream(`${settings.log}.stderr`))
    child.stderr?.once('data', chunk => complain(`the application wrote to its standard error: ${String(chunk).slice(0, 500)}`))
    const events = new EventEmitter().setMaxListeners(0)
    child.on('message', (message: FromApplication) => events.emit(message.type === 'stage' ? `${message.stage} ${message.token}` : message.type, message))
    const failed = new AbortController()
    child.once('exit', code => failed.abort(new Error(`the application did not start (exit code ${code}): see ${settings.log}.stderr`)))
    const [{ port }] = await once(events, 'listening', { signal: failed.signal }) as [{ port: number }]
    return new Application(child, events, port, complain, lost)
  }

  /** Calls `then` when the request is where it said that its client would leave. */
  onStage (token: string, stage: Stage, then: () => void): void {
    this.#events.once(`${stage} ${token}`, then)
  }

  forgetStage (token: string, stage: Stage): void {
    this.#events.removeAllListeners(`${stage} ${token}`)
  }

  /** What it looks like inside. */
  async inspect (): Promise<ApplicationState> {
    this.#process.send('inspect')
    const [{ state }] = await once(this.#events, 'state') as [{ state: ApplicationState }]
    return state
  }

  /** Tells it to stop, as a process manager does, and waits until it has. */
  async stop (): Promise<void> {
    this.#isStopping = true
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    this.#process.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.#complain('the application did not stop after SIGTERM')
      this.#process.kill('SIGKILL')
    }, STOP_PATIENCE)
    const [code, signal] = await this.#ended as [number | null, string | null]
    clearTimeout(timer)
    if (code !== 0) this.#complain(`the application ended with ${signal ?? `exit code ${code}`} after SIGTERM`)
  }
}
