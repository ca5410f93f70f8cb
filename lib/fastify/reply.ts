import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { Readable } from 'node:stream'

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
