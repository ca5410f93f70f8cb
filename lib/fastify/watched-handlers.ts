import type { FastifyInstance, FastifyReply, FastifyRequest, preValidationHookHandler } from 'fastify'

/** Who is told of an application's handlers and hooks. */
interface HandlerListener {
  /** Runs a handler. */
  handle (handler: () => unknown): unknown
  /** An `onResponse` hook begins. Gives what to call when it is over. */
  responding (): () => void
}

type ListenerOf = (request: FastifyRequest) => HandlerListener | undefined
type AnyFunction = (this: unknown, ...args: unknown[]) => unknown
export type ErrorHandler = (this: unknown, error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown
type Handler = (this: unknown, request: FastifyRequest, reply: FastifyReply) => unknown
type Hook = preValidationHookHandler
type ResponseHook = (this: unknown, request: FastifyRequest, reply: FastifyReply, done: (error?: unknown) => void) => unknown

/**
 * Has a listener of each request see when error handlers, not-found handlers and `onResponse` hooks run that are added from now on: Fastify
 * tells nobody how they end. Its methods are put in the place of the originals, for contexts inside this one as well.
 * @param beforeNotFound a `preValidation` hook for not-found handlers, which no `onRoute` tells of
 * @param adding is told of each hook before it is added, and to which context
 */
export function watchHandlers (fastify: FastifyInstance, listenerOf: ListenerOf, beforeNotFound: Hook, adding: (stage: string, context: FastifyInstance) => void): void {
  wrap(fastify, 'setErrorHandler', ([handler]) => [typeof handler === 'function' ? watchedErrorHandler(handler as ErrorHandler, listenerOf) : handler])
  wrap(fastify, 'setNotFoundHandler', args => {
    const [options, handler] = typeof args[0] === 'function' ? [{}, args[0]] : args as [{ preValidation?: Hook | Hook[] }?, unknown?]
    const preValidation = [beforeNotFound, ...[options?.preValidation ?? []].flat()]
    return [{ ...options, preValidation }, typeof handler === 'function' ? watchedHandler(handler as Handler, listenerOf) : handler]
  })
  wrap(fastify, 'addHook', ([name, hook], to) => {
    adding(name as string, to as FastifyInstance)
    return [name, name === 'onResponse' && isValidHook(hook) ? watchedResponseHook(hook, listenerOf) : hook]
  })
}

export function watchedErrorHandler (handler: ErrorHandler, listenerOf: ListenerOf): ErrorHandler {
  return function (error, request, reply) {
    const handle = () => handler.call(this, error, request, reply)
    const listener = listenerOf(request)
    return listener === undefined ? handle() : listener.handle(handle)
  }
}

function watchedHandler (handler: Handler, listenerOf: ListenerOf): Handler {
  return function (request, reply) {
    const handle = () => handler.call(this, request, reply)
    const listener = listenerOf(request)
    return listener === undefined ? handle() : listener.handle(handle)
  }
}

function watchedResponseHook (hook: ResponseHook, listenerOf: ListenerOf): ResponseHook {
  return function (request, reply, done) {
    const over = listenerOf(request)?.responding()
    if (over === undefined) return hook.call(this, request, reply, done)
    let result: unknown
    try {
      result = hook.call(this, request, reply, error => {
        over()
        done(error)
      })
    } catch (error) {
      over()
      throw error
    }
    return isThenable(result) ? Promise.resolve(result).finally(over) : result
  }
}

/** Fastify is to say itself what is wrong with the others. */
function isValidHook (hook: unknown): hook is ResponseHook {
  return typeof hook === 'function' && !(hook.constructor.name === 'AsyncFunction' && hook.length === 3)
}

function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof (Object(value) as { then?: unknown }).then === 'function'
}

function wrap (fastify: FastifyInstance, name: 'setErrorHandler' | 'setNotFoundHandler' | 'addHook', change: (args: unknown[], to: unknown) => unknown[]): void {
  const original = fastify[name] as AnyFunction
  const { [name]: method } = {
    [name] (this: unknown, ...args: unknown[]) {
      return original.apply(this, change(args, this))
    }
  }
  Object.defineProperty(fastify, name, { value: method, configurable: true, enumerable: true, writable: true })
}
