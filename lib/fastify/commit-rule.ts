import type { FastifyReply, FastifyRequest } from 'fastify'
import { show } from '../options/validate.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import type { CommitRule } from '../options/options.ts'
import type { Decision } from '../types.ts'

/** The error state of a request, as far as it is known when its outcome is decided. */
export interface ErrorState {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** The status that the client will see, or that of the answer which a 304 stands for. */
  readonly statusCode: number
  /** What was thrown or sent, even if an error handler then answered 200. */
  readonly error: Error | undefined
  readonly isRollbackOnly: boolean
}

/**
 * Commit or rollback? Rollback if the scope is doomed, an error was thrown or sent, or the status is 400 or above.
 * A function as `commitOnTeardown` replaces the rule, except for a doomed scope. Where databases have different rules, all must
 * say commit: a unit of work has one outcome.
 */
export function decide (rules: readonly (boolean | CommitRule)[], state: ErrorState): Decision {
  const isCommit = !state.isRollbackOnly && rules.every((rule, n) => rules.indexOf(rule) < n || commits(rule, state))
  return { outcome: isCommit ? 'commit' : 'rollback', reason: reasonFor(rules, state), isSurprising: !isCommit && state.statusCode < 400 }
}

/** In a few words, for those who watch. */
function reasonFor (rules: readonly (boolean | CommitRule)[], { statusCode, error, isRollbackOnly }: ErrorState): string {
  if (isRollbackOnly) return 'doomed'
  if (rules.some(rule => typeof rule === 'function')) return 'as the function given as commitOnTeardown says'
  if (error === undefined) return `status ${statusCode}`
  return (error as { code?: unknown }).code === 'FST_ERR_HANDLER_TIMEOUT' ? 'the time limit of the handler is over' : 'an error was thrown or sent'
}

function commits (rule: boolean | CommitRule, state: ErrorState): boolean {
  return typeof rule === 'function' ? ask(rule, state) : state.error === undefined && state.statusCode < 400
}

/** @throws InvalidOptionError when the answer is no boolean: an async function's promise would always mean yes */
function ask (rule: CommitRule, { request, reply, error }: ErrorState): boolean {
  const answer: unknown = rule(request, reply, error)
  if (typeof answer !== 'boolean') throw new InvalidOptionError('the function given as "commitOnTeardown"', 'an answer of true or false', show(answer))
  return answer
}
