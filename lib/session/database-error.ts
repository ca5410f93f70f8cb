import { DriverException } from '@mikro-orm/core'
import { causesOf } from '../errors/causes.ts'
import { isDriverError } from '../drivers/errors.ts'
import { isOwnError } from '../errors/own-error.ts'

/** Whether an error came from the database, so that its message may hold SQL, values and names of the schema. */
export function isDatabaseError (error: unknown): error is Error {
  return isDriverError(error) || (error instanceof DriverException && !isOwnError(error))
}

/** Whether the message holds what a database said: its own, or that of a cause which it repeats. */
export function tellsOfDatabase (error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { message } = error
  return isDatabaseError(error) || [...causesOf(error)].some(cause => isDatabaseError(cause) && repeats(message, cause.message))
}

/** Shorter messages can be in another by chance. */
const LONG_ENOUGH = 10

function repeats (message: string, said: string): boolean {
  if (said.length >= LONG_ENOUGH) return message.includes(said)
  return said !== '' && (message === said || message.endsWith(`: ${said}`))
}
