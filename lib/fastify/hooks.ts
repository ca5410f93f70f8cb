import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import type { Application } from '../application/application.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import { inScope } from '../scope/registry.ts'
import { ContextHooks } from './context-hooks.ts'
import { sendNow, sendWhenEnded, type SendDone } from './last-on-send.ts'
import { redactDatabaseErrors } from './redact-errors.ts'
import { watchReplies } from './reply-methods.ts'
import type { ReplyOutcome } from './reply-outcome.ts'
import { RequestScope, type RequestRoute } from './request-scope.ts'
import { decorateRequests, keep, requestScopeOf } from './scoped-request.ts'
import { Retry } from '../scope/retry.ts'
import { hasHooks, hasRoutes, isLast, keepAround, keepHooks, mayHaveBody, nameOf, routesOf } from './route-wrapping.ts'
import type { Unattended } from './unattended.ts'
import { watchedErrorHandler, watchHandlers, type ErrorHandler } from './watched-handlers.ts'
import { routeSettings, type RouteSettings } from '../options/route-options.ts'

/** Where a route's `config` keeps what it means. */
const ROUTE = Symbol('fastify-scoped-db.route')

interface ScopedConfig {
  db?: unknown
  [ROUTE]?: ScopedRoute
}

interface ScopedRoute extends RequestRoute {
  readonly settings: RouteSettings | false
}

type Done = HookHandlerDoneFunction
type Handler = RouteOptions['handler']
type AddHook = (this: FastifyInstance, stage: string, hook: unknown) => unknown

/** What stands in front of the application's own hooks of a stage, and is not there where it has none. */
const BESIDE_OTHERS = new Map<string, readonly unknown[]>([
  ['preValidation', [enterScopeWithBody]],
  ['preHandler', [enterScopeWithBody]],
  ['onResponse', [recordResponse, closeScopeOfUnseenRoute]]
])

/**
 * Adds Fastify's hooks, in the order in which a request meets them. Each enters the scope first, since Fastify calls some
 * of them from a timer or from the socket; none makes a promise unless there is a session to work on. A stage costs a request
 * that uses no database as much as all that is done in it, so that a route has only those that it needs: docs/architecture.md
 * has a table of them.
 *
 * The last `onSend` decides, because every hook before it can still change the status or fail. Hooks of a route come after
 * all others, so they are added there; only where no route can be seen (404, or a route that was added before this plugin
 * was loaded) they stand with the plugin's own.
 */
export function addHooks (fastify: FastifyInstance, application: Application): void {
  decorateRequests(fastify)

  const unseen = routesOf(fastify)
  const contexts = new ContextHooks()
  const addHook = fastify.addHook as AddHook
  fastify.addHook('onRoute', prepareRoute)
  fastify.addHook('onRequest', openScope)
  fastify.addHook('preSerialization', enterScopeWithPayload)
  fastify.addHook('preSerialization', flushScope)
  fastify.addHook('onError', recordError)
  fastify.addHook('onSend', sendInScope)
  // Routes that are there already: nobody knows which hooks they have.
  if (hasRoutes(fastify)) for (const stage of BESIDE_OTHERS.keys()) addBeside(stage, fastify)

  watchReplies(fastify, unattendedOf)
  watchHandlers(fastify, unattendedOf, enterScopeWithBody, addBeside)

  /** Before the first hook of a stage is added to a context. */
  function addBeside (stage: string, context: FastifyInstance): void {
    if (stage === 'onSend' && context === fastify) for (const route of unseen.splice(0)) warnOfLaterHooks(route)
    const hooks = BESIDE_OTHERS.get(stage)
    if (hooks !== undefined && contexts.add(stage, context)) for (const hook of hooks) addHook.call(context, stage, hook)
  }

  function prepareRoute (this: FastifyInstance, route: RouteOptions): void {
    const settings = routeSettings(application.settings, (route.config as ScopedConfig | undefined)?.db, nameOf(route))
    let isAwaited: boolean | undefined
    const awaitsHooks = (request: FastifyRequest) => awaitsHooksOfContext(request) || (!request.is404 && (isAwaited ??= hasHooks(route, 'onResponse')))
    route.config = { ...route.config, [ROUTE]: { settings, isSeen: true, awaitsHooks } } as NonNullable<typeof route.config>
    if (settings === false) return
    application.addRoute(settings)
    const retry = settings.retry === undefined ? undefined : new Retry(settings.retry)
    keepHooks(route, 'preValidation', { first: enterScopeWithBody }, hasOwn => hasOwn || mayHaveBody(route))
    keepHooks(route, 'preHandler', { first: enterScopeWithBody }, hasOwn => hasOwn)
    keepHooks(route, 'onSend', { last: endScope }, () => true)
    keepHooks(route, 'onResponse', { first: recordResponse, last: closeScope }, hasOwn => hasOwn || contexts.has('onResponse', this))
    for (const name of ['handler', 'wsHandler'] as const) keepAround(route, name, handler => watched(handler as Handler, retry))
    keepAround(route, 'errorHandler', handler => watchedErrorHandler(handler as ErrorHandler, unattendedOf))
    // When every plugin's onRoute has had its say.
    queueMicrotask(() => { if (!isLast(route, 'onSend', endScope)) warnOfLaterHooks(nameOf(route)) })
  }

  function warnOfLaterHooks (route: string): void {
    fastify.log.warn({ route }, 'an onSend hook of this route comes after its commit: it can change the status, but not the outcome')
  }

  function openScope (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const route = routeOf(request)
    const { settings } = route
    if (settings === false) {
      inScope(undefined, done)
      return
    }
    const scope = new RequestScope(application, settings, route, request, reply)
    keep(request, scope)
    scope.enter(done)
  }

  function unseenRoute (options: unknown, route: string): ScopedRoute {
    const settings = routeSettings(application.settings, options, route)
    if (settings !== false && settings.retry !== undefined) throw new InvalidOptionError(`the option "retry" in config.db of ${route}`, 'a route that is added after the plugin was registered', 'one that was added before')
    return { settings, isSeen: false, awaitsHooks: awaitsHooksOfContext }
  }

  function awaitsHooksOfContext ({ server }: FastifyRequest): boolean {
    return contexts.has('onResponse', server)
  }

  /** Routes that were added before this plugin was loaded are checked with their first request. */
  function routeOf (request: FastifyRequest): ScopedRoute {
    const config = request.routeOptions.config as ScopedConfig
    config[ROUTE] ??= unseenRoute(config.db, `${request.method} ${String(request.routeOptions.url)}`)
    return config[ROUTE]
  }
}

function enterScopeWithBody (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  requestScopeOf(request)?.hasBody()
  enter(request, done)
}

function enterScopeWithPayload (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): void {
  enter(request, done)
}

function flushScope (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): Promise<void> | undefined {
  const flushed = outcomeOf(request)?.flush()
  if (flushed === undefined) done()
  return flushed
}

function recordError (request: FastifyRequest, reply: FastifyReply, error: Error, done: () => void): void {
  const outcome = outcomeOf(request)
  outcome?.fail(error)
  if (!redactDatabaseErrors(reply, error, outcome?.mapsErrors() === true)) enter(request, done)
}

function sendInScope (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: SendDone): void {
  const scope = requestScopeOf(request)
  if (scope === null) done()
  else scope.outcome.send(scope.isSeen ? done : endScope.bind(undefined, request, reply, payload, done))
}

/** Without a promise of its own: nothing comes between the outcome and the head that goes out. */
function endScope (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: SendDone): void {
  const ended = outcomeOf(request)?.end(payload) ?? 'send'
  if (ended === 'send') sendNow(reply, done)
  else if (ended !== 'drop') sendWhenEnded(ended, reply, done)
}

function recordResponse (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  outcomeOf(request)?.responded()
  enter(request, done)
}

function closeScope (request: FastifyRequest, _reply: FastifyReply, done: Done): Promise<void> | undefined {
  const closed = outcomeOf(request)?.close()
  if (closed === undefined) done()
  return closed
}

/** After `reply.callNotFound()` the hooks of the route do not follow. */
function closeScopeOfUnseenRoute (request: FastifyRequest, reply: FastifyReply, done: Done): Promise<void> | undefined {
  if (requestScopeOf(request)?.isSeen === false || request.is404) return closeScope(request, reply, done)
  done()
  return undefined
}

/** Runs a handler in the scope of its request, which is to know how it ends, under the handler's own name. */
function watched (handler: Handler, retry: Retry | undefined): Handler {
  const { [handler.name]: watching } = {
    [handler.name]: function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      const handle = handler.bind(this, request, reply)
      const scope = requestScopeOf(request)
      if (scope === null) return handleSocket(reply as unknown as FastifyRequest, handle)
      scope.hasBody()
      return retry === undefined ? scope.outcome.unattended.handleInScope(handle) : scope.outcome.handleAgain(retry, handle)
    }
  }
  return watching as Handler
}

/** A handler of WebSockets has the request in the second place, if at all. Its end is that of the unit of work, whatever it is. */
function handleSocket (request: FastifyRequest | undefined, handle: () => unknown): unknown {
  const outcome = outcomeOf(request)
  if (outcome === undefined) return handle()
  try {
    const result = handle()
    outcome.unattended.handle(() => quietly(async () => await result))
    return result
  } catch (error) {
    outcome.unattended.handle(() => quietly(async () => { throw error }))
    throw error
  }
}

/** Whoever has called it sees to its errors. */
function quietly (handler: () => Promise<unknown>): Promise<unknown> {
  const result = handler()
  result.catch(() => {})
  return result
}

function enter (request: FastifyRequest, next: () => void): void {
  const scope = requestScopeOf(request)
  if (scope === null) next()
  else scope.enter(next)
}

function outcomeOf (request: FastifyRequest | undefined): ReplyOutcome | undefined {
  return requestScopeOf(request)?.outcome
}

function unattendedOf (request: FastifyRequest): Unattended | undefined {
  return requestScopeOf(request)?.outcome.unattended
}
