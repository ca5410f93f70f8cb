import type { FastifyInstance, RouteOptions } from 'fastify'

type Hooks = 'onSend' | 'onResponse'
/** `wsHandler` is what `@fastify/websocket` calls where a route has a handler for HTTP as well. */
type Handlers = 'handler' | 'errorHandler' | 'wsHandler'
type Function_ = (...args: never[]) => unknown

/** Keeps a hook of a route behind all others, also behind those that a later plugin adds in its own `onRoute`. */
export function keepLast (route: RouteOptions, name: Hooks, hook: Function_): void {
  let hooks = listOf(route[name])
  define(route, name, () => last(hooks, hook), given => { hooks = listOf(given) })
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
export function isLast (route: RouteOptions, name: Hooks, hook: Function_): boolean {
  return listOf(route[name]).at(-1) === hook
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

function define (route: RouteOptions, name: string, get: () => unknown, set: (value: unknown) => void): void {
  Object.defineProperty(route, name, { get, set, enumerable: true, configurable: true })
}

/** In the list itself, which others may add to. */
function last (hooks: unknown[], hook: unknown): unknown[] {
  if (hooks.at(-1) === hook) return hooks
  const place = hooks.indexOf(hook)
  if (place >= 0) hooks.splice(place, 1)
  hooks.push(hook)
  return hooks
}

function listOf (hooks: unknown): unknown[] {
  return hooks === undefined ? [] : [hooks].flat()
}
