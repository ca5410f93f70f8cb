import type { Participant } from '../session/participant.ts'
import type { Log, ScopeInfo } from '../types.ts'
import { reportOf } from './two-phase-commit.ts'

/** Who is told of those who take part in a scope: listeners, and the log of what nobody waits for. None of them can do any harm. */
export class Notifications {
  readonly #info: ScopeInfo
  readonly #log: () => Log

  /**
   * @param info what the scope is for
   * @param log where to report what nobody waits for
   */
  constructor (info: ScopeInfo, log: () => Log) {
    this.#info = info
    this.#log = log
  }

  /** Listeners are told at once, but none of them is waited for. */
  tell (signal: 'opened' | 'closed', { database: { name, listeners }, em }: Participant): void {
    for (const tell of listeners.telling(signal, () => ({ database: name, ...this.#info, session: em }))) {
      void this.reported((async () => { await tell() })(), LISTENER_FAILED)
    }
  }

  /** The session of plain MikroORM ends, with what was not flushed. */
  dropped (participant: Participant): void {
    this.#tellOfUnflushed(participant, 'warn', 'unflushed changes were dropped at the end of their scope')
  }

  /** A session ends that the scope has committed, with what came after that. */
  lost (participant: Participant): void {
    this.#tellOfUnflushed(participant, 'error', 'changes that came after the commit of their scope were lost')
  }

  /** Some databases may have what others have not: whoever caught the error would not know which. */
  commitFailed (error: unknown): void {
    const report = reportOf(error)
    if (report !== undefined) this.#log().error({ err: error, ...report }, 'a unit of work is not in all of its databases')
  }

  /** Whoever has caught the error has ended as a success. */
  refused (err: unknown): void {
    this.#log().warn({ err }, 'a commit by hand was refused, and its unit of work ended as a success: nothing of it is in the database')
  }

  /** Waits for what nobody else waits for: at teardown there is nobody to throw to. */
  async reported (work: Promise<unknown> | undefined, failure = TEARDOWN_FAILED): Promise<void> {
    try {
      await work
    } catch (err) {
      this.#log().error({ err }, failure)
    }
  }

  #tellOfUnflushed (participant: Participant, level: 'warn' | 'error', message: string): void {
    try {
      const unflushed = participant.countUnflushed()
      if (Object.keys(unflushed).length > 0) this.#log()[level]({ unflushed }, message)
    } catch (err) {
      this.#log()[level]({ err }, `${message}, and could not be counted`)
    }
  }
}

const LISTENER_FAILED = 'a listener to the sessions of a database failed'

export const TEARDOWN_FAILED = 'teardown of a database scope failed'
