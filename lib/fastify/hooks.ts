import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import type { AppDatabases } from '../application/application.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import { inScope } from '../scope/registry.ts'
import { redactDatabaseErrors } from './redact-errors.ts'
import { RequestUnit } from './request-scope.ts'
import { Retry } from '../scope/retry.ts'
import { routeRules, type ScopeRules } from '../options/route-options.ts'

/** Where a request keeps its unit of work. */
const UNIT = Symbol('fastify-scoped-db.unit')

/** Where a route's `config` keeps its rules. */
const RULES = Symbol('fastify-scoped-db.rules')

interface ScopedRequest extends FastifyRequest {
  [UNIT]: RequestUnit | null
}

interface ScopedConfig {
  db?: unknown
  [RULES]?: RouteRules
}

interface RouteRules {
  readonly rules: ScopeRules | false
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
export function addLifecycle (fastify: FastifyInstance, databases: AppDatabases): void {
  fastify.decorateRequest(UNIT as unknown as string, null)

  fastify.addHook('onRoute', prepareRoute)
  fastify.addHook('onRequest', openScope)
  fastify.addHook('preValidation', enterScope)
  fastify.addHook('preHandler', enterScope)
  fastify.addHook('preSerialization', enterScopeWithPayload)
  fastify.addHook('preSerialization', flushScope)
  fastify.addHook('onError', recordError)
  fastify.addHook('onSend', sendInScope)
  fastify.addHook('onSend', completeScopeOfUnseenRoute)
  fastify.addHook('onResponse', recordResponse)
  fastify.addHook('onResponse', finishScopeOfUnseenRoute)

  function prepareRoute (route: RouteOptions): void {
    const own = routeRules(databases.all, (route.config as ScopedConfig | undefined)?.db, `${String(route.method)} ${route.url}`)
    route.config = { ...route.config, [RULES]: { rules: own, isSeen: true } } as NonNullable<typeof route.config>
    if (own === false) return
    route.onSend = [...listOf(route.onSend), completeScope]
    route.onResponse = [...listOf(route.onResponse), finishScope]
    route.handler = observed(route.handler, own.retry === undefined ? undefined : new Retry(own.retry))
  }

  function openScope (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const { rules, isSeen } = rulesOf(request)
    if (rules === false) {
      inScope(undefined, done)
      return
    }
    const unit = new RequestUnit(databases, rules, request, reply, isSeen)
    keep(request, unit)
    unit.enter(done)
  }

  function unseenRules (options: unknown, route: string): RouteRules {
    const own = routeRules(databases.all, options, route)
    if (own !== false && own.retry !== undefined) throw new InvalidOptionError(`the option "retry" in config.db of ${route}`, 'a route that is added after the plugin was registered', 'one that was added before')
    return { rules: own, isSeen: false }
  }

  /** Routes that were added before this plugin was loaded are checked with their first request. */
  function rulesOf (request: FastifyRequest): RouteRules {
    const config = request.routeOptions.config as ScopedConfig
    config[RULES] ??= unseenRules(config.db, `${request.method} ${String(request.routeOptions.url)}`)
    return config[RULES]
  }
}

function enterScope (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  enter(request, done)
}

function enterScopeWithPayload (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): void {
  enter(request, done)
}

function flushScope (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): Promise<void> | undefined {
  const flushed = unitOf(request)?.flush()
  if (flushed === undefined) done()
  return flushed
}

function recordError (request: FastifyRequest, reply: FastifyReply, error: Error, done: () => void): void {
  const unit = unitOf(request)
  unit?.fail(error)
  if (!redactDatabaseErrors(reply, error, unit?.mapsErrors === true)) enter(request, done)
}

function sendInScope (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: SendDone): void {
  const unit = unitOf(request)
  if (unit === null) done()
  else unit.send(done)
}

function completeScope (request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: SendDone): Promise<void> | undefined {
  const completion = unitOf(request)?.complete(payload) ?? 'send'
  if (completion === 'send') done()
  return typeof completion === 'string' ? undefined : completion
}

function completeScopeOfUnseenRoute (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: SendDone): Promise<void> | undefined {
  if (unitOf(request)?.isSeen === false) return completeScope(request, reply, payload, done)
  done()
  return undefined
}

function recordResponse (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  unitOf(request)?.responded()
  enter(request, done)
}

function finishScope (request: FastifyRequest, _reply: FastifyReply, done: Done): Promise<void> | undefined {
  const finished = unitOf(request)?.finish()
  if (finished === undefined) done()
  return finished
}

function finishScopeOfUnseenRoute (request: FastifyRequest, reply: FastifyReply, done: Done): Promise<void> | undefined {
  if (unitOf(request)?.isSeen === false) return finishScope(request, reply, done)
  done()
  return undefined
}

/** Lets the unit of work know what the handler returned, or run it, under the handler's own name. */
function observed (handler: RouteOptions['handler'], retry: Retry | undefined): RouteOptions['handler'] {
  const { [handler.name]: observing } = {
    [handler.name]: function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      const unit = unitOf(request)
      if (unit !== null && retry !== undefined) return unit.attempts(retry, () => handler.call(this, request, reply))
      const result: unknown = handler.call(this, request, reply)
      unit?.handled(result)
      return result
    }
  }
  return observing as RouteOptions['handler']
}

function enter (request: FastifyRequest, next: () => void): void {
  const unit = unitOf(request)
  if (unit === null) next()
  else unit.enter(next)
}

/** The request's unit of work; null before `onRequest` and on a route with `db: false`. */
export function unitOf (request: FastifyRequest): RequestUnit | null {
  return (request as ScopedRequest)[UNIT]
}

function keep (request: FastifyRequest, unit: RequestUnit): void {
  (request as ScopedRequest)[UNIT] = unit
}

function listOf<T> (hooks: T | T[] | undefined): T[] {
  return hooks === undefined ? [] : [hooks].flat() as T[]
}
