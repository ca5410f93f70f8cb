import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RequestScope } from './request-scope.ts'

/** Where a request keeps its scope. */
const SCOPE = Symbol('fastify-scoped-db.scope')

interface ScopedRequest extends FastifyRequest {
  [SCOPE]: RequestScope | null
}

export function decorateRequests (fastify: FastifyInstance): void {
  fastify.decorateRequest(SCOPE as unknown as string, null)
}

/** The request's scope; null before `onRequest`, on a route with `db: false`, and for what is no request at all. */
export function requestScopeOf (request: FastifyRequest | undefined): RequestScope | null {
  return (request as ScopedRequest | undefined)?.[SCOPE] ?? null
}

export function keep (request: FastifyRequest, scope: RequestScope): void {
  (request as ScopedRequest)[SCOPE] = scope
}
