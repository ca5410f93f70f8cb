import { isAboutConnection } from '../drivers/errors.ts'
import { AcquireTimeoutError } from '../errors/errors.ts'
import type { AcquireTimeout } from './acquire-timeout.ts'

/** One of several connections that are tried. Both times are on the clock of `performance.now()`. */
interface Attempt {
  /** When there is no time left for any connection. */
  readonly deadline: number
  /** Until when a connection that was in use before may be silent. */
  readonly silenceDeadline: number
}

/** The longest wait before the second attempt, in milliseconds; it doubles with each. */
const FIRST_WAIT = 10

const LONGEST_WAIT = 250

/** As it is from the start: a timer that a user's test has faked would serve nobody after that test. */
const { setTimeout } = globalThis

/**
 * Tries one connection after the other: those of a pool may lead nowhere although nobody has closed them, and a server that has no place, or
 * restarts, may have one in a moment.
 * @param mayRepeat whether what has failed with an error that is about the connection may be tried again
 * @param again is called before it is
 * @throws what is not about the connection; else what the database has said last, or AcquireTimeoutError when it has said nothing
 */
export async function untilOneWorks<T> (timeout: AcquireTimeout, attempt: (attempt: Attempt) => Promise<T>, mayRepeat: (error: Error) => boolean = () => true, again?: (error: Error) => void): Promise<T> {
  const deadline = timeout.deadline()
  let said: Error | undefined
  for (let n = 0; ; n++) {
    try {
      return await attempt({ deadline, silenceDeadline: Math.min(deadline, timeout.silenceDeadline(n)) })
    } catch (error) {
      if (!leadsNowhere(error) || !mayRepeat(error)) throw error
      if (isAboutConnection(error)) said = error
      // Full jitter: those who were refused together must not come back together.
      const wait = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** n)
      if (performance.now() + wait >= deadline) throw said ?? error
      again?.(error)
      await new Promise<void>(resolve => { setTimeout(resolve, wait) })
    }
  }
}

/** Whether an error says that a connection is of no use: the database's, or that it was silent for too long. */
export function leadsNowhere (error: unknown): error is Error {
  return error instanceof AcquireTimeoutError || isAboutConnection(error)
}
