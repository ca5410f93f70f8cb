import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'

/** What ends a run from outside: Ctrl-C, `kill`, and a terminal that is closed. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** How many milliseconds a command has to end by itself after a signal. */
const GRACE = 5000

/**
 * Runs a command as a process group of its own, and kills what is left of the group when the command has ended: whatever
 * the command started, and whatever that started. With `interruption`, whose reason is a signal, it ends sooner.
 *
 * @returns its exit code, as a shell would tell it
 */
export async function runCommand (command: string, args: string[], interruption: AbortSignal): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', detached: true })
  const ended = once(child, 'exit') as Promise<[code: number | null, signal: NodeJS.Signals]>
  const killGroup = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  interruption.addEventListener('abort', () => {
    killGroup(interruption.reason as NodeJS.Signals)
    setTimeout(killGroup, GRACE, 'SIGKILL').unref()
  })
  try {
    const [code, signal] = await ended
    return code ?? exitCodeOf(signal)
  } finally {
    killGroup('SIGKILL')
  }
}

export function exitCodeOf (signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
