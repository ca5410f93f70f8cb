import type { StatementMessage } from '../diagnostics/messages.ts'
import type { EchoOptions } from '../options/diagnostics-options.ts'
import type { Log } from '../types.ts'

/**
 * Gives what writes one line to a log for a statement.
 * @returns undefined where the log would not take it
 */
export function echoTo (log: Log, { level = 'info', parameters: hasParameters = false, slowerThan = 0 }: EchoOptions): ((message: StatementMessage) => void) | undefined {
  if (log.isLevelEnabled?.(level) === false) return undefined
  return ({ database, sql, parameters, rows, duration = 0, error }) => {
    if (duration < slowerThan) return
    const line = { database, rows, milliseconds: Math.round(duration * 10) / 10 }
    log[level]({ ...line, ...hasParameters && { parameters }, ...error !== undefined && { error: codeOf(error) } }, sql)
  }
}

/** What a driver says may hold values. */
function codeOf (error: unknown): string {
  const { code = 'unknown' } = Object(error) as { code?: unknown }
  return String(code)
}
