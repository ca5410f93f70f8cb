import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import type { Application } from '../application/application.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import { inScope } from '../scope/registry.ts'
import { redactDatabaseErrors } from './redact-errors.ts'
import { RequestScope } from './request-scope.ts'
import { Retry } from '../scope/retry.ts'
import { routeSettings, type RouteSettings } from '../options/route-options.ts'

/** Where a request keeps its scope. */
const SCOPE = Symbol('fastify-scoped-db.scope')

/** Where a route's `config` keeps what it means. */
const ROUTE = Symbol('fastify-scoped-db.route')

interface ScopedRequest extends FastifyRequest {
  [SCOPE]: RequestScope | null
}

interface ScopedConfig {
  db?: unknown
  [ROUTE]?: ScopedRoute
}

interface ScopedRoute {
  readonly settings: RouteSettings | false
  /** Whether `onRoute` has seen the route, and added the hooks to it that must be the last. */
  readonly isSeen: boolean
}

type Done = HookHandlerDoneFunction
type SendDone = (error?: Error | null, payload?: unknown) => void

/**
 * Adds Fastify's hooks, in the order in which a request meets them. Each enters the scope first, since Fastify calls some
 * of them from a timer or from the socket; none makes a promise unless there is a session to work on.
 *
 * The last `onSend` decides, because every hook before it can still change the status or fail. Hooks of a route come after
 * all others, so they are added there; only where no route can be seen (404, or a route that was added before this plugin
 * was loaded) they stand with the plugin's own.
 */
export function addHooks (fastify: FastifyInstance, application: Application): void {
  fastify.decorateRequest(SCOPE as unknown as string, null)

  fastify.addHook('onRoute', prepareRoute)
  fastify.addHook('onRequest', openScope)
  fastify.addHook('preValidation', enterScopeWithBody)
  fastify.addHook('preHandler', enterScope)
  fastify.addHook('preSerialization', enterScopeWithPayload)
  fastify.addHook('preSerialization', flushScope)
  fastify.addHook('onError', recordError)
  fastify.addHook('onSend', sendInScope)
  fastify.addHook('onSend', endScopeOfUnseenRoute)
  fastify.addHook('onResponse', recordResponse)
  fastify.addHook('onResponse', closeScopeOfUnseenRoute)

  function prepareRoute (route: RouteOptions): void {
    const settings = routeSettings(application.settings, (route.config as ScopedConfig | undefined)?.db, `${String(route.method)} ${route.url}`)
    route.config = { ...route.config, [ROUTE]: { settings, isSeen: true } } as NonNullable<typeof route.config>
    if (settings === false) return
    route.onSend = [...listOf(route.onSend), endScope]
    route.onResponse = [...listOf(route.onResponse), closeScope]
    route.handler = observed(route.handler, settings.retry === undefined ? undefined : new Retry(settings.retry))
  }

  function openScope (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const { settings, isSeen } = routeOf(request)
    if (settings === false) {
      inScope(undefined, done)
      return
    }
    const scope = new RequestScope(application, settings, request, reply, isSeen)
    keep(request, scope)
    scope.enter(done)
  }

  function unseenRoute (options: unknown, route: string): ScopedRoute {
    const settings = routeSettings(application.settings, options, route)
    if (settings !== false && settings.retry !== undefined) throw new InvalidOptionError(`the option "retry" in config.db of ${route}`, 'a route that is added after the plugin was registered', 'one that was added before')
    return { settings, isSeen: false }
  }

  /** Routes that were added before this plugin was loaded are checked with their first request. */
  function routeOf (request: FastifyRequest): ScopedRoute {
    const config = request.routeOptions.config as ScopedConfig
    config[ROUTE] ??= unseenRoute(config.db, `${request.method} ${String(request.routeOptions.url)}`)
    return config[ROUTE]
  }
}

function enterScope (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  enter(request, done)
}

function enterScopeWithBody (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  requestScopeOf(request)?.hasBody()
  enter(request, done)
}

function enterScopeWithPayload (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): void {
  enter(request, done)
}

function flushScope (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): Promise<void> | undefined {
  const flushed = requestScopeOf(request)?.outcome.flush()
  if (flushed === undefined) done()
  return flushed
}

function recordError (request: FastifyRequest, reply: FastifyReply, error: Error, done: () => void): void {
  const outcome = requestScopeOf(request)?.outcome
  outcome?.fail(error)
  if (!redactDatabaseErrors(reply, error, outcome?.mapsErrors() === true)) enter(request, done)
}

function sendInScope (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): void {
  const scope = requestScopeOf(request)
  if (scope === null) done()
  else scope.outcome.send(done)
}

function endScope (request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: SendDone): Promise<void> | undefined {
  const ended = requestScopeOf(request)?.outcome.end(payload) ?? 'send'
  if (ended === 'send') done()
  return typeof ended === 'string' ? undefined : ended
}

function endScopeOfUnseenRoute (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: SendDone): Promise<void> | undefined {
  if (requestScopeOf(request)?.isSeen === false) return endScope(request, reply, payload, done)
  done()
  return undefined
}

function recordResponse (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  requestScopeOf(request)?.outcome.responded()
  enter(request, done)
}

function closeScope (request: FastifyRequest, _reply: FastifyReply, done: Done): Promise<void> | undefined {
  const closed = requestScopeOf(request)?.outcome.close()
  if (closed === undefined) done()
  return closed
}

function closeScopeOfUnseenRoute (request: FastifyRequest, reply: FastifyReply, done: Done): Promise<void> | undefined {
  if (requestScopeOf(request)?.isSeen === false) return closeScope(request, reply, done)
  done()
  return undefined
}

/** Lets the scope know what the handler returned, or run it, under the handler's own name. */
function observed (handler: RouteOptions['handler'], retry: Retry | undefined): RouteOptions['handler'] {
  const { [handler.name]: observing } = {
    [handler.name]: function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      const outcome = requestScopeOf(request)?.outcome
      if (outcome !== undefined && retry !== undefined) return outcome.runHandler(retry, () => handler.call(this, request, reply))
      const result: unknown = handler.call(this, request, reply)
      outcome?.takeHandled(result)
      return result
    }
  }
  return observing as RouteOptions['handler']
}

function enter (request: FastifyRequest, next: () => void): void {
  const scope = requestScopeOf(request)
  if (scope === null) next()
  else scope.enter(next)
}

/** The request's scope; null before `onRequest` and on a route with `db: false`. */
export function requestScopeOf (request: FastifyRequest): RequestScope | null {
  return (request as ScopedRequest)[SCOPE]
}

function keep (request: FastifyRequest, scope: RequestScope): void {
  (request as ScopedRequest)[SCOPE] = scope
}

function listOf<T> (hooks: T | T[] | undefined): T[] {
  return hooks === undefined ? [] : [hooks].flat() as T[]
}
