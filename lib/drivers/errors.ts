import { isOwnError } from '../errors/own-error.ts'
import type { DriverError, ErrorKind } from './contracts.ts'
import { DRIVERS } from './drivers.ts'

/** What kind of error it is, whichever driver it comes from. */
export function errorKindOfDriver (error: DriverError): ErrorKind | undefined {
  for (const { errors } of DRIVERS) {
    const kind = errors.kindOf(error)
    if (kind !== undefined) return kind
  }
  return undefined
}

/** Whether an error says that a connection is of no use any more, or that none could be made, whatever was asked of it. */
export function isAboutConnection (error: unknown): error is Error {
  return error instanceof Error && ABOUT_CONNECTION.has(errorKindOfDriver(error))
}

const ABOUT_CONNECTION = new Set<ErrorKind | undefined>(['connection', 'read only'])

/** What databases say, also to COMMIT, when they have not done what was asked. */
const REFUSALS = new Set<ErrorKind | undefined>(['unique', 'foreign key', 'check', 'not null', 'deadlock', 'lock timeout', 'serialization', 'read only'])

/** Whether an error of COMMIT is known to mean that it was refused, and is rolled back. Whatever is not may be committed. */
export function isRefusal (error: DriverError): boolean {
  if (error.fatal === true) return false
  return REFUSALS.has(errorKindOfDriver(error)) || DRIVERS.some(({ errors }) => errors.refuses(error))
}

const NEVER_SENT = new Set(DRIVERS.flatMap(({ errors }) => errors.neverSent))

/** Whether the connection was known to be closed before the statement, so that this was not sent. */
export function wasNeverSent ({ message }: Error): boolean {
  return NEVER_SENT.has(message)
}

/** Errors of drivers as they come from connections and their pool: MikroORM does not turn those from COMMIT or `em.getKysely()` into its exceptions. */
const raw = new WeakSet<object>()

/** Remembers that an error came from a driver, and gives it back. */
export function driverError<T> (error: T): T {
  if (error instanceof Error) raw.add(error)
  return error
}

/** Whether an error came from a driver as it is: its message may hold SQL, values and names of the schema. */
export function isDriverError (error: unknown): error is Error {
  return error instanceof Error && !isOwnError(error) && (raw.has(error) || DRIVERS.some(({ errors }) => errors.isOwn(error)))
}
