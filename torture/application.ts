import { spawn, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ApplicationSettings, ApplicationState, FromApplication, Stage, Work } from './application/messages.ts'

const MAIN = fileURLToPath(new URL('./application/main.ts', import.meta.url))

/** How long it may take to stop after SIGTERM, in milliseconds, before it is killed. */
const STOP_PATIENCE = 30_000

/** Who is told of what an application does by itself. */
export interface Observer {
  /** Takes what must not happen, such as anything on its standard error. */
  complain (what: string): void
  /** It has ended without being told to. */
  lost (error: Error): void
  worked (token: string, work: Work): void
}

/** One process of the application under test. */
export class Application {
  readonly port: number
  readonly #process: ChildProcess
  readonly #events: EventEmitter
  readonly #ended: Promise<unknown[]>
  #isStopping = false
  readonly #observer: Observer

  private constructor (process: ChildProcess, events: EventEmitter, port: number, observer: Observer) {
    this.#process = process
    this.#events = events
    this.#observer = observer
    this.port = port
    // What it has said last can come after its exit.
    this.#ended = Promise.all([once(process, 'exit'), once(process, 'disconnect')]).then(([exit]) => exit)
    void this.#ended.then(([code, signal]) => {
      if (!this.#isStopping) observer.lost(new Error(`the application ended by itself (${signal ?? `exit code ${code}`})`))
    })
  }

  /** Starts the process, and waits until it listens. */
  static async start (settings: ApplicationSettings, observer: Observer): Promise<Application> {
    const child = spawn(process.execPath, ['--expose-gc', MAIN, JSON.stringify(settings)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    child.stderr?.pipe(createWriteStream(`${settings.log}.stderr`))
    child.stderr?.once('data', chunk => observer.complain(`the application wrote to its standard error: ${String(chunk).slice(0, 500)}`))
    const events = new EventEmitter().setMaxListeners(0)
    child.on('message', (message: FromApplication) => {
      if (message.type === 'work') observer.worked(message.token, message.work)
      else events.emit(message.type === 'stage' ? `${message.stage} ${message.token}` : message.type, message)
    })
    const failed = new AbortController()
    child.once('exit', code => failed.abort(new Error(`the application did not start (exit code ${code}): see ${settings.log}.stderr`)))
    const [{ port }] = await once(events, 'listening', { signal: failed.signal }) as [{ port: number }]
    return new Application(child, events, port, observer)
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
      this.#observer.complain('the application did not stop after SIGTERM')
      this.#process.kill('SIGKILL')
    }, STOP_PATIENCE)
    const [code, signal] = await this.#ended as [number | null, string | null]
    clearTimeout(timer)
    if (code !== 0) this.#observer.complain(`the application ended with ${signal ?? `exit code ${code}`} after SIGTERM`)
  }
}
