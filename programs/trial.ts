import type { Arguments } from './arguments.ts'
import { Application, type Plugin, type Run } from './application.ts'
import { compareWith, hasLockTimeout, isComparable } from './compare.ts'
import type { Database } from './database/database.ts'
import { openDatabase } from './database/open.ts'
import type { Abilities } from './generate.ts'
import type { Program } from './program.ts'
import { SqlAlchemy, type Verdict } from './sqlalchemy.ts'

/** What has been judged so far. */
export interface Figures {
  programs: number
  committed: number
  rolledBack: number
  /** By SQLAlchemy as well. */
  compared: number
  /** Not by SQLAlchemy, though it could have: one of the two has waited in vain for a lock. */
  lockTimeouts: number
  /** Others that were answered 5xx though they have thrown nothing: where branches meet in a flush, a loud failure will do. */
  failedLoudly: number
}

/** Both judges' opinion of one program. */
export interface Opinion {
  readonly run: Run
  readonly verdict: Verdict | undefined
  /** None if all is well. */
  readonly differences: readonly string[]
}

/** Runs programs with the plugin and with SQLAlchemy, and compares what comes of them. */
export class Trial {
  readonly figures: Figures = { programs: 0, committed: 0, rolledBack: 0, compared: 0, lockTimeouts: 0, failedLoudly: 0 }
  readonly #plugin: Plugin
  readonly #database: Database
  readonly #sqlAlchemy: SqlAlchemy
  #application: Application

  private constructor (plugin: Plugin, database: Database, sqlAlchemy: SqlAlchemy, application: Application) {
    this.#plugin = plugin
    this.#database = database
    this.#sqlAlchemy = sqlAlchemy
    this.#application = application
  }

  static async open ({ plugin: file, database: name }: Pick<Arguments, 'plugin' | 'database'>): Promise<Trial> {
    const { default: plugin } = await import(file) as { default: Plugin }
    const database = await openDatabase(name)
    const sqlAlchemy = await SqlAlchemy.start(database.sqlAlchemyUrl)
    return new Trial(plugin, database, sqlAlchemy, await Application.start(plugin, database))
  }

  get abilities (): Abilities {
    return this.#database
  }

  async judge (program: Program): Promise<Opinion> {
    // At the same time, since they are two processes.
    const other = isComparable(program) ? this.#sqlAlchemy.run(program) : undefined
    const run = await this.#application.run(program)
    const answer = await other
    const isLockTimeout = answer !== undefined && hasLockTimeout(answer, run)
    const verdict = isLockTimeout ? undefined : answer
    if (run.isTainted) {
      await this.#application.stop()
      this.#application = await Application.start(this.#plugin, this.#database)
    }
    this.#count(run)
    if (isLockTimeout) this.figures.lockTimeouts++
    else if (verdict !== undefined) this.figures.compared++
    else if (run.status >= 500 && run.error !== 'thrown') this.figures.failedLoudly++
    return { run, verdict, differences: [...run.differences, ...verdict === undefined ? [] : compareWith(program, verdict, run)] }
  }

  async close (): Promise<void> {
    await this.#application.stop()
    await this.#sqlAlchemy.stop()
    await this.#database.close()
  }

  #count ({ isCommitted }: Run): void {
    this.figures.programs++
    this.figures[isCommitted ? 'committed' : 'rolledBack']++
  }
}
