import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { UsageError } from '../scripts/command-line.ts'
import type { Observation } from './observation.ts'
import type { Program } from './program.ts'
import { findPython } from './python.ts'
import { rowsOf, type Rows, type Tables } from './rows.ts'
import { EMPTY, READ, SEEDS } from './seeds.ts'

const JUDGE = fileURLToPath(new URL('sqlalchemy/judge.py', import.meta.url))

/** What came of a program with SQLAlchemy. */
export interface Verdict {
  readonly isCommitted: boolean
  readonly error: string | undefined
  /** The error in its own words. */
  readonly message: string | undefined
  readonly observed: readonly Observation[]
  readonly rows: Rows
}

/** The other implementation: one process that runs programs on a database of its own. */
export class SqlAlchemy {
  readonly #process: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor (process: ChildProcess, lines: AsyncIterator<string>) {
    this.#process = process
    this.#lines = lines
  }

  /**
   * @param url of the database, as SQLAlchemy has it
   * @throws UsageError when this machine has no SQLAlchemy
   */
  static async start (url: string): Promise<SqlAlchemy> {
    const python = findPython()
    if (python === undefined) throw new UsageError('no SQLAlchemy to judge. On Debian: apt-get install python3-sqlalchemy python3-mysqldb python3-psycopg2')
    const child = spawn(python, ['-u', JUDGE], { stdio: ['pipe', 'pipe', 'inherit'] })
    const judge = new SqlAlchemy(child, createInterface({ input: child.stdout })[Symbol.asyncIterator]())
    await judge.#ask({ url, reset: [...EMPTY, ...SEEDS], read: READ })
    return judge
  }

  /** @returns undefined where it cannot tell */
  async run (program: Program): Promise<Verdict | undefined> {
    const answer = await this.#ask(program) as Answer | null
    if (answer === null) return undefined
    const { isCommitted, error, message, observed, tables } = answer
    return { isCommitted, error: error ?? undefined, message: message ?? undefined, observed, rows: rowsOf(tables) }
  }

  async stop (): Promise<void> {
    this.#process.stdin?.end()
    await once(this.#process, 'close')
  }

  async #ask (document: unknown): Promise<unknown> {
    this.#process.stdin?.write(`${JSON.stringify(document)}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('SQLAlchemy has ended; its standard error says why')
    return JSON.parse(value)
  }
}

interface Answer {
  readonly isCommitted: boolean
  readonly error: string | null
  readonly message: string | null
  readonly observed: Observation[]
  readonly tables: Tables
}
