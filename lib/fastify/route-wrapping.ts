import type { FastifyInstance, RouteOptions } from 'fastify'

type Stage = 'preValidation' | 'preHandler' | 'onSend' | 'onResponse'
/** `wsHandler` is what `@fastify/websocket` calls where a route has a handler for HTTP as well. */
type Handlers = 'handler' | 'errorHandler' | 'wsHandler'
type Function_ = (...args: never[]) => unknown

/** Hooks of ours, around those that a route has. */
interface Surrounding {
  readonly first?: Function_
  readonly last?: Function_
}

/**
 * Keeps hooks around those of a route, also around those that a later plugin adds in its own `onRoute`.
 * @param areNeeded is asked each time, whether the route has hooks of its own; the last time when Fastify has loaded everything
 */
export function keepHooks (route: RouteOptions, stage: Stage, { first, last }: Surrounding, areNeeded: (hasOwn: boolean) => boolean): void {
  let hooks = listOf(route[stage])
  const arrange = () => {
    const own = hooks.filter(hook => hook !== first && hook !== last)
    const all = areNeeded(own.length > 0) ? [first, ...own, last].filter(hook => hook !== undefined) : own
    // In the list itself, which others may add to.
    hooks.splice(0, hooks.length, ...all)
    return hooks
  }
  define(route, stage, arrange, given => { hooks = listOf(given) })
}

/** Keeps a wrapper around a handler of a route, also around one that a later plugin puts in its place. */
export function keepAround (route: RouteOptions & { wsHandler?: unknown }, name: Handlers, wrap: (handler: Function_) => Function_): void {
  let given: unknown
  let wrapped: unknown
  const set = (handler: unknown) => {
    if (handler === wrapped) return
    given = handler
    wrapped = typeof given === 'function' ? wrap(given as Function_) : given
  }
  set(route[name])
  define(route, name, () => wrapped, set)
}

/** Whether a hook of a route is the last: a plugin can do with a route what it likes. */
export function isLast (route: RouteOptions, stage: Stage, hook: Function_): boolean {
  return listOf(route[stage]).at(-1) === hook
}

/** Whether a route has hooks of a stage. */
export function hasHooks (route: RouteOptions, stage: Stage): boolean {
  return listOf(route[stage]).length > 0
}

/** Whether requests of a route may have a body. */
export function mayHaveBody ({ method }: RouteOptions): boolean {
  return [method].flat().some(name => name !== 'GET' && name !== 'HEAD')
}

export function nameOf (route: RouteOptions): string {
  return `${String(route.method)} ${route.url}`
}

/** Those that an application has so far, where `fastify` is its root: nothing tells which of them a plugin's own hooks are for. */
export function routesOf (fastify: FastifyInstance): string[] {
  if (Object.getPrototypeOf(fastify) !== Object.prototype) return []
  const path: string[] = []
  const names: string[] = []
  for (const line of fastify.printRoutes({ commonPrefix: false }).split('\n')) {
    const [, indent = '', segment = '', methods] = /^([│ ]*)[├└]── (.*?)(?: \(([A-Z, ]+)\).*)?$/.exec(line) ?? []
    path.length = indent.length / 4
    path.push(segment)
    if (methods !== undefined) names.push(`${methods} ${path.join('')}`)
  }
  return names
}

/** Whether an application has any by now. */
export function hasRoutes (fastify: FastifyInstance): boolean {
  return /\([A-Z, -]+\)/.test(fastify.printRoutes())
}

function define (route: RouteOptions, name: string, get: () => unknown, set: (value: unknown) => void): void {
  Object.defineProperty(route, name, { get, set, enumerable: true, configurable: true })
}

function listOf (hooks: unknown): unknown[] {
  return hooks === undefined ? [] : [hooks].flat()
}
