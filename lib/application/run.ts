import type { Log, ScopeKind } from '../types.ts'
import { inScope } from '../scope/registry.ts'
import { Retry } from '../scope/retry.ts'
import type { Scope } from '../scope/scope.ts'
import type { ScopeHost } from '../scope/contracts.ts'
import type { ScopeRules } from '../options/route-options.ts'

/** What opens the scopes. */
export interface UnitHost extends ScopeHost {
  readonly log: Log
  openScope (kind: ScopeKind, rules: ScopeRules): Scope
}

type Work<T> = (scope: Scope) => T | Promise<T>

/**
 * Runs `work` in a scope of its own, and again in a new one as often as its rules say so.
 * @throws what `work` throws, or what stops the commit
 */
export async function runUnit<T> (host: UnitHost, rules: ScopeRules, work: Work<T>, attempt = 1): Promise<T> {
  const scope = host.openScope('db.run', rules)
  try {
    return await runOnce(scope, work)
  } catch (error) {
    const retry = rules.retry === undefined ? undefined : new Retry(rules.retry)
    if (retry === undefined || scope.hasCommitted || host.isClosed || !retry.isWorthwhile(error)) throw error
    await retry.pause(error, attempt, host.log, host)
  }
  return await runUnit(host, rules, work, attempt + 1)
}

async function runOnce<T> (scope: Scope, work: Work<T>): Promise<T> {
  try {
    const result = await inScope(scope, () => work(scope))
    await scope.end(scope.isRollbackOnly ? 'rollback' : 'commit')
    return result
  } finally {
    await scope.close()
  }
}
