import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, ForeignKeyConstraintViolationException, LockWaitTimeoutException,
  NotFoundError, NotNullConstraintViolationException, OptimisticLockError, UniqueConstraintViolationException
} from '@mikro-orm/core'
import { isDatabaseError } from './database-error.ts'
import { kindOfCode, type DriverCodes, type ErrorKind } from './error-codes.ts'
import { CommitUnknownError, PartlyCommittedError } from './errors.ts'

export type { ErrorKind } from './error-codes.ts'

/**
 * What kind of database error something is, whichever driver it comes from: one of MikroORM's exceptions, or a raw error of the
 * driver, as COMMIT and `em.getKysely()` throw; or an error that has such a one as its `cause`. Takes anything.
 * @returns undefined for everything else, and always when a commit of unknown or of mixed outcome is among the causes
 *
 * @example
 * kindOf(new UniqueConstraintViolationException(error)) // 'unique'
 */
export function kindOf (error: unknown): ErrorKind | undefined {
  return isInDoubt(error) ? undefined : [...causesOf(error)].map(kindOfOne).find(kind => kind !== undefined)
}

/** Whether a commit of unknown or of mixed outcome is behind an error: what it was about may be in a database. */
export function isInDoubt (error: unknown): boolean {
  return [...causesOf(error)].some(({ code }) => NOT_ROLLED_BACK.has(code))
}

/** Whether the same work can go through when it is done again from its beginning, in a new transaction. */
export function isTransient (error: unknown): boolean {
  return TRANSIENT.has(kindOf(error))
}

const TRANSIENT = new Set<ErrorKind | undefined>(['deadlock', 'lock timeout', 'serialization', 'connection'])

/** Not by their classes: MikroORM makes a DriverException of them, which keeps the code. */
const NOT_ROLLED_BACK = new Set<unknown>([CommitUnknownError, PartlyCommittedError].map(CommitError => new CommitError().code))

type FailureWithCodes = Error & DriverCodes

/** The error and what is behind it, the outermost first. */
function * causesOf (error: unknown, seen = new Set<unknown>()): Generator<FailureWithCodes> {
  if (!(error instanceof Error) || seen.has(error)) return
  seen.add(error)
  yield error
  yield * causesOf(error.cause, seen)
}

/** The codes come first: they say more than MikroORM's classes, which it finds for SQLite by the words of the message. */
function kindOfOne (error: FailureWithCodes): ErrorKind | undefined {
  if (error instanceof NotFoundError) return 'not found'
  // "Cannot obtain optimistic lock on unversioned entity" is of the same class, and a mistake in the code.
  if (error instanceof OptimisticLockError) return error.message.startsWith('Cannot') ? undefined : 'optimistic lock'
  if (!isDatabaseError(error)) return undefined
  return kindOfCode(error) ?? CLASSES.find(([Class]) => error instanceof Class)?.[1]
}

const CLASSES = [
  [UniqueConstraintViolationException, 'unique'],
  [ForeignKeyConstraintViolationException, 'foreign key'],
  [CheckConstraintViolationException, 'check'],
  [NotNullConstraintViolationException, 'not null'],
  [DeadlockException, 'deadlock'],
  [LockWaitTimeoutException, 'lock timeout'],
  [ConnectionException, 'access']
] as const
