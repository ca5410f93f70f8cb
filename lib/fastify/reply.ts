import type { FastifyReply } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { Readable } from 'node:stream'
import { isPlainObject } from '../options/validate.ts'

/**
 * Whether Fastify will be able to send this reply. It looks at the payload's type and at the headers only after the
 * last `onSend` hook, and answers 500 when they are wrong: too late for a commit that was made on the strength of a 200.
 */
export function isSendable (payload: unknown, reply: FastifyReply): boolean {
  return isSendablePayload(payload) && hasValidHeaders(reply)
}

/** The status that the client will see: a web `Response` brings its own, which Fastify takes over after `onSend`. */
export function statusOf (payload: unknown, reply: FastifyReply): number {
  return isResponse(payload) ? payload.status : reply.statusCode
}

/** A stream that fails while the commit is under way has no listener of Fastify's yet, and would end the process. */
export function keepFromCrashing (payload: unknown): void {
  if (payload instanceof Readable) payload.on('error', () => {})
}

/** Lets go of a payload that will not be sent. */
export function discard (payload: unknown): void {
  if (payload instanceof Readable) payload.on('error', () => {}).destroy()
}

/**
 * Waits until a stream has something to send, or nothing more, or nobody to send it to. Fastify answers with an error when a stream fails before its
 * first byte (a file that is not there), so that much must be known before the commit. An event stream may be silent for
 * long and is not waited for.
 * @throws what the stream fails with
 */
export async function firstByte (payload: Readable, reply: FastifyReply): Promise<void> {
  if (payload.readableFlowing === true || isEventStream(reply)) return
  if (payload.errored !== null) throw payload.errored
  if (payload.readableLength > 0 || payload.readableEnded || payload.destroyed || reply.raw.destroyed) return
  const stop = new AbortController()
  try {
    const begun = ['readable', 'end', 'close'].map(event => once(payload, event, { signal: stop.signal }))
    await Promise.race([...begun, once(reply.raw, 'close', { signal: stop.signal })])
  } finally {
    stop.abort()
  }
}

/** Whether the client has gone: an HTTP/2 reply only says so through its stream. */
export function isClosed (raw: FastifyReply['raw']): boolean {
  const { stream } = raw as { stream?: { destroyed?: boolean } }
  return raw.destroyed || raw.closed || stream?.destroyed === true
}

/** Whether a payload goes out bit by bit, while the application may still work on it. */
export function isStreamed (payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && !Buffer.isBuffer(payload)
}

/**
 * Breaks a streamed reply off before the client can take it for a whole one: before its end, or, where its length is announced, before any
 * part of it.
 * @param isWhole is asked each time
 */
export function breakOffUnless (isWhole: () => boolean, reply: FastifyReply): void {
  const { raw } = reply
  for (const method of reply.hasHeader('content-length') ? ['write', 'end'] as const : ['end'] as const) {
    const send = raw[method] as (...args: unknown[]) => never
    raw[method] = (...args: unknown[]) => isClosed(raw) || isWhole() ? send.apply(raw, args) : raw.destroy() as never
  }
}

/** The status to answer with when `error` stops a commit. */
export function errorStatus (error: unknown): number {
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' && statusCode >= 400 ? statusCode : 500
}

/** Takes back what a reply that was dropped has done to the head. */
export function restoreHead (reply: FastifyReply, statusCode: number, headers: ReturnType<FastifyReply['getHeaders']>): void {
  for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
  reply.headers(headers)
  reply.code(statusCode)
}

/**
 * Remembers what a reply is like.
 * @returns a function that makes it so again, as often as it is called: its head, what plugins have put on it (cookies, trailers, a serializer, by
 * whatever names), and who listens to it
 */
export function snapshotReply (reply: FastifyReply): () => void {
  const { raw } = reply
  const own = Reflect.ownKeys(reply).map(key => [key, copyOf(Reflect.get(reply, key))] as const)
  const head = { statusCode: raw.statusCode, statusMessage: raw.statusMessage, headers: raw.getHeaders() }
  const listeners = new Map(raw.eventNames().map(event => [event, raw.rawListeners(event)]))
  return () => {
    for (const key of Reflect.ownKeys(reply)) if (!own.some(([known]) => known === key)) Reflect.deleteProperty(reply, key)
    for (const [key, value] of own) Reflect.set(reply, key, copyOf(value))
    for (const name of raw.getHeaderNames()) raw.removeHeader(name)
    for (const [name, value] of Object.entries(head.headers)) raw.setHeader(name, value as string)
    raw.statusCode = head.statusCode
    raw.statusMessage = head.statusMessage
    for (const event of raw.eventNames()) {
      for (const listener of raw.rawListeners(event)) if (listeners.get(event)?.includes(listener) !== true) raw.removeListener(event, listener as () => void)
    }
  }
}

/** Of what is filled bit by bit, a copy; of everything else, the same. */
function copyOf (value: unknown): unknown {
  if (Array.isArray(value)) return [...value as unknown[]]
  if (value instanceof Map) return new Map(value)
  if (value instanceof Set) return new Set(value)
  return isPlainObject(value) ? { ...value as object } : value
}

/** Has `intercept` see what is given to `reply.send()` from now on. It passes on what it likes. */
export function interceptSend (reply: FastifyReply, intercept: (payload: unknown, send: (payload: unknown) => FastifyReply) => FastifyReply): void {
  const { send } = reply
  reply.send = function (this: FastifyReply, payload?: unknown) {
    return intercept(payload, passed => send.call(this, passed))
  }
}

/** A reply that is being sent. Several of a request can be on their way. */
interface Sending {
  readonly of: object
  /** How often the request had failed when the reply was begun. */
  readonly failures: number
}

const sendings = new AsyncLocalStorage<Sending>()

/** Sends a reply of a request that has failed so many times. */
export function sendKnowing (of: object, failures: number, send: () => void): void {
  sendings.run({ of, failures }, send)
}

/**
 * How often the request had failed when the reply that is being sent was begun. Nobody knows where a hook goes on in another context, such as
 * that of another request's reply, which has made this request.
 */
export function failuresBefore (of: object): number | undefined {
  const sending = sendings.getStore()
  return sending?.of === of ? sending.failures : undefined
}

function isEventStream (reply: FastifyReply): boolean {
  return String(reply.getHeader('content-type')).startsWith('text/event-stream')
}

function isSendablePayload (payload: unknown): boolean {
  if (payload === undefined || payload === null || typeof payload === 'string' || Buffer.isBuffer(payload)) return true
  if (isResponse(payload)) return !payload.bodyUsed
  if (hasMethod(payload, 'getReader')) return (payload as unknown as ReadableStream).locked !== true
  return hasMethod(payload, 'pipe')
}

function hasValidHeaders (reply: FastifyReply): boolean {
  try {
    const headers = reply.getHeaders()
    for (const name in headers) {
      const value = headers[name]
      validateHeaderName(name)
      for (const one of Array.isArray(value) ? value : [value]) validateHeaderValue(name, String(one))
    }
    return true
  } catch {
    return false
  }
}

function isResponse (payload: unknown): payload is Response {
  return Object.prototype.toString.call(payload) === '[object Response]'
}

function hasMethod (payload: unknown, method: string): payload is Record<string, unknown> {
  return typeof payload === 'object' && payload !== null && typeof (payload as Record<string, unknown>)[method] === 'function'
}
