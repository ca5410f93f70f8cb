import { causesOf } from '../errors/causes.ts'
import type { Driver, DriverError, ErrorKind, TransactionStatus } from '../drivers/contracts.ts'
import { driverError, errorKindOfDriver, isDriverError, isRefusal, wasNeverSent } from '../drivers/errors.ts'
import { CommitUnknownError, RollbackOnlyError } from '../errors/errors.ts'

/**
 * What to throw when COMMIT has failed with `error`: that error, if it is certain that nothing was committed; when in
 * doubt a CommitUnknownError.
 */
export function commitError (error: unknown, { isEmbedded }: Driver): unknown {
  const failure: DriverError & Error = error instanceof Error ? error : new Error()
  if (isEmbedded || wasNeverSent(failure) || isRefusal(failure)) return driverError(error)
  return Object.assign(new CommitUnknownError(), { cause: error })
}

/**
 * Whether the database has, or may have, rolled the transaction back together with the statement that failed. A server
 * does so after a deadlock or a serialization failure, after a lock wait timeout if it is set up that way, and in other distress, such as a
 * full lock table or disk, or because the statement said so (`insert or rollback`). Whoever can be asked is asked.
 */
export async function hasRolledBack (driver: Driver, error: unknown, transaction: AskedTransaction): Promise<boolean> {
  const kinds = [...causesOf(error)].filter(isDriverError).map(errorKindOfDriver)
  if (kinds.some(kind => kind !== undefined && driver.rollsBackWith.has(kind))) return true
  const status = await transaction.status()
  if (status !== undefined) return status === 'none'
  // What did not come from the database says nothing of it, and a statement may still be running there.
  if (kinds.length === 0 || kinds.some(kind => OF_THE_STATEMENT.has(kind))) return false
  return !await transaction.isOpen()
}

interface AskedTransaction {
  /** Undefined where nobody knows without asking. */
  status (): Promise<TransactionStatus | undefined>
  isOpen (): Promise<boolean>
}

/** What a database takes for the failure of one statement. */
const OF_THE_STATEMENT = new Set<ErrorKind | undefined>(['unique', 'foreign key', 'check', 'not null', 'privilege'])

/** What to throw where only a rollback is left, because of `cause`. */
export function rollbackOnly (cause: unknown): Error {
  return cause instanceof RollbackOnlyError ? cause : Object.assign(new RollbackOnlyError('its transaction has failed'), { cause })
}

/** What to report where a commit is to be told to replicas, and its position is not known, because of `cause`. */
export function positionUntold (cause: unknown): Error {
  return new Error('a commit was carried out, but its position was not told: its client may read what is older', { cause })
}
