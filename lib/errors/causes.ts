import { CommitUnknownError, PartlyCommittedError } from './errors.ts'

/** The error and what is behind it, the outermost first. Takes anything. */
export function * causesOf (error: unknown, seen = new Set<unknown>()): Generator<Error> {
  if (!(error instanceof Error) || seen.has(error)) return
  seen.add(error)
  yield error
  const { cause, errors } = error as { cause?: unknown, errors?: unknown }
  for (const behind of [cause, ...Array.isArray(errors) ? errors as unknown[] : []]) yield * causesOf(behind, seen)
}

/** Whether a commit of unknown or of mixed outcome is behind an error: what it was about may be in a database. */
export function isInDoubt (error: unknown): boolean {
  return [...causesOf(error)].some(cause => NOT_ROLLED_BACK.has((cause as { code?: unknown }).code))
}

/** Not by their classes: MikroORM makes a DriverException of them, which keeps the code. */
const NOT_ROLLED_BACK = new Set<unknown>([CommitUnknownError, PartlyCommittedError].map(CommitError => new CommitError().code))
