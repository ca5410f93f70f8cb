import type { FastifyError } from '@fastify/error'
import { isOrmError, errorKind, type ErrorKind } from '../session/error-kind.ts'
import { BusyError, ConflictError, InvalidDataError, NotFoundError, RollbackOnlyError, StaleError, UnavailableError } from '../errors/errors.ts'

/** An error that is made to be sent: Fastify takes over its headers, too. */
export interface HttpError extends FastifyError {
  readonly headers?: Record<string, string>
}

const conflict = () => new ConflictError()
const invalid = () => new InvalidDataError()
const busy = () => new BusyError()
const unavailable = () => new UnavailableError()

/** What clients are told of each kind of error. What is not here stays a 500. */
const ANSWERS: Partial<Record<ErrorKind, (error: Error) => HttpError>> = {
  'not found': ({ message }) => new NotFoundError(`${entityIn(message)} not found`),
  'optimistic lock': () => new StaleError(),
  unique: conflict,
  'foreign key': conflict,
  check: invalid,
  'not null': invalid,
  'invalid value': invalid,
  deadlock: busy,
  'lock timeout': busy,
  serialization: busy,
  interrupted: busy,
  connection: unavailable,
  'read only': unavailable,
  access: unavailable
}

/**
 * The answer to an error of the database, or of MikroORM, for `mapErrors`: its status, its message and its code hold nothing of a
 * database, and are the same for every driver.
 * @returns undefined for an error that is neither, or that has a status of its own already
 */
export function answerTo (error: unknown): HttpError | undefined {
  if (!isMeant(error)) return undefined
  const kind = errorKind(error)
  return kind === undefined ? undefined : ANSWERS[kind]?.(error)
}

/**
 * Gives an error the status and the headers of its answer, in Fastify's convention: for error handlers, the application's own among
 * them, which get the error itself.
 */
export function mapError (error: unknown): void {
  const answer = answerTo(error)
  if (answer === undefined || !Object.isExtensible(error)) return
  const { statusCode, headers } = answer
  mapped.add(Object.assign(error as Partial<HttpError>, { statusCode, ...headers && { headers: { ...headers, ...(error as Partial<HttpError>).headers } } }))
}

/** Those that have their status from here. */
const mapped = new WeakSet<object>()

function isMeant (error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { code, statusCode, status } = error as Partial<Record<'code' | 'statusCode' | 'status', unknown>>
  if (code === ROLLBACK_ONLY) return true
  return isOrmError(error) && ((statusCode ?? status) === undefined || mapped.has(error))
}

/** Not by its class: MikroORM makes a DriverException of it, which keeps the code. */
const ROLLBACK_ONLY = new RollbackOnlyError('').code

/** MikroORM's message goes on with the condition, whose values are nobody's business. */
function entityIn (message: string): string {
  return /^([\w$]+) not found/.exec(message)?.[1] ?? 'This was'
}
