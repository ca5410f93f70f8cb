import { sqlComment } from '../drivers/sql/comment.ts'
import type { TagOptions } from '../options/diagnostics-options.ts'
import type { ScopeInfo } from '../types.ts'

/** As the W3C has it. What a client sends instead is not passed on. */
const TRACEPARENT = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/

/** What the statements of a scope are tagged with: a comment that says which request they are for. */
export function statementTag ({ request }: ScopeInfo, { route = true, method = true, requestId = false, traceparent = false }: TagOptions): string | undefined {
  if (request === undefined) return undefined
  const parent = String(request.headers['traceparent'])
  return sqlComment({
    route: route ? request.routeOptions.url : undefined,
    method: method ? request.method : undefined,
    request_id: requestId ? String(request.id) : undefined,
    traceparent: traceparent && TRACEPARENT.test(parent) ? parent : undefined
  })
}
