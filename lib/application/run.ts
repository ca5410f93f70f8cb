import { inScope } from '../scope/registry.ts'
import type { Retry } from '../scope/retry.ts'
import type { Scope } from '../scope/scope.ts'
import type { Log } from '../types.ts'

type Work<T> = (scope: Scope) => T | Promise<T>

/**
 * Runs `work` in a scope of its own, and again in a new one as often as `retry` says so.
 * @param open opens a scope
 * @throws what `work` throws, or what stops the commit
 */
export async function run<T> (open: (attempt: number) => Scope, work: Work<T>, retry: Retry | undefined, log: Log, attempt = 1): Promise<T> {
  const scope = open(attempt)
  try {
    return await runOnce(scope, work)
  } catch (error) {
    if (retry === undefined || scope.hasCommitted || scope.host.isClosed || !retry.isWorthwhile(error)) throw error
    await retry.pause(error, attempt, log, scope.host)
  }
  return await run(open, work, retry, log, attempt + 1)
}

async function runOnce<T> (scope: Scope, work: Work<T>): Promise<T> {
  try {
    const result = await workIn(scope, work)
    const outcome = scope.isRollbackOnly ? 'rollback' : 'commit'
    scope.explain({ outcome, reason: scope.isRollbackOnly ? 'doomed' : 'db.run() has ended' })
    await scope.end(outcome)
    return result
  } finally {
    await scope.close()
  }
}

async function workIn<T> (scope: Scope, work: Work<T>): Promise<T> {
  try {
    return await inScope(scope, () => work(scope))
  } catch (error) {
    if (scope.state === 'open') scope.explain({ outcome: 'rollback', reason: 'db.run() has thrown' })
    throw error
  }
}
