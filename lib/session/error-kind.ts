import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, ForeignKeyConstraintViolationException, LockWaitTimeoutException,
  NotFoundError, NotNullConstraintViolationException, OptimisticLockError, UniqueConstraintViolationException
} from '@mikro-orm/core'
import type { ErrorKind } from '../drivers/contracts.ts'
import { errorKindOfDriver } from '../drivers/errors.ts'
import { causesOf, isInDoubt } from '../errors/causes.ts'
import { isDatabaseError } from './database-error.ts'
import { kindOfRejected } from './rejected-value.ts'

export type { ErrorKind } from '../drivers/contracts.ts'

/**
 * What kind of database error something is, whichever driver it comes from: one of MikroORM's exceptions, or a raw error of the
 * driver, as COMMIT and `em.getKysely()` throw; or an error that has such a one as its `cause`. Takes anything.
 * @returns undefined for everything else, and always when a commit of unknown or of mixed outcome is among the causes
 *
 * @example
 * errorKind(new UniqueConstraintViolationException(error)) // 'unique'
 */
export function errorKind (error: unknown): ErrorKind | undefined {
  return isInDoubt(error) ? undefined : [...causesOf(error)].map(errorKindOfOne).find(kind => kind !== undefined)
}

/** Whether the same work can go through when it is done again from its beginning, in a new transaction. */
export function isTransient (error: unknown): boolean {
  return TRANSIENT.has(errorKind(error))
}

const TRANSIENT = new Set<ErrorKind | undefined>(['deadlock', 'lock timeout', 'serialization', 'connection', 'read only'])

/** The codes come first: they say more than MikroORM's classes, which it finds by the words of the message where there are no codes. */
function errorKindOfOne (error: Error): ErrorKind | undefined {
  if (error instanceof NotFoundError) return 'not found'
  // "Cannot obtain optimistic lock on unversioned entity" is of the same class, and a mistake in the code.
  if (error instanceof OptimisticLockError) return error.message.startsWith('Cannot') ? undefined : 'optimistic lock'
  if (!isDatabaseError(error)) return kindOfRejected(error)
  return errorKindOfDriver(error) ?? CLASSES.find(([Class]) => error instanceof Class)?.[1]
}

/** Whether it is an error of MikroORM that means something to a client, or one of the database: itself, not by a cause. */
export function isOrmError (error: unknown): error is Error {
  return error instanceof NotFoundError || error instanceof OptimisticLockError || isDatabaseError(error) || (error instanceof Error && kindOfRejected(error) !== undefined)
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
