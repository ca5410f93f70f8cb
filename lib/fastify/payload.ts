import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import { Readable, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { connectionOf, isClosed } from './client-connection.ts'

/** What Fastify takes for a stream: it may be much older than `node:stream`. */
interface OldStream {
  pipe (to: Writable): unknown
  on (event: string, listener: (value: never) => void): unknown
  readonly readable?: boolean
  readonly readableEnded?: boolean
  readonly destroyed?: boolean
  pause? (): unknown
  resume? (): unknown
  destroy? (): unknown
  close? (): unknown
  abort? (): unknown
}

export function isResponse (payload: unknown): payload is Response {
  return Object.prototype.toString.call(payload) === '[object Response]'
}

export function isWebStream (payload: unknown): payload is ReadableStream {
  return hasMethod(payload, 'getReader')
}

export function isOldStream (payload: unknown): payload is OldStream {
  return hasMethod(payload, 'pipe') && hasMethod(payload, 'on')
}

/** The same as a stream of Node's. */
export function fromOldStream (old: OldStream): Readable {
  const stream = new Readable({
    read: () => { old.resume?.() },
    destroy (error, done) {
      letGo(old)
      done(error)
    }
  })
  old.on('data', chunk => { if (!stream.push(chunk)) old.pause?.() })
  let hasEnded = false
  const end = () => {
    hasEnded = true
    stream.push(null)
  }
  old.on('end', end)
  old.on('error', (error: Error) => { stream.destroy(error) })
  // After its end, what was read may still have to be sent.
  old.on('close', () => { if (!hasEnded) stream.destroy() })
  // One that is over tells of nothing any more.
  if (old.readableEnded === true || (old.readable === false && old.destroyed !== true)) end()
  else if (old.destroyed === true) stream.destroy()
  return stream
}

/** A stream that fails while the commit is under way has no listener of Fastify's yet, and would end the process. */
export function keepFromCrashing (payload: unknown): void {
  if (payload instanceof Readable) payload.on('error', () => {})
}

/** Lets go of a payload that will not be sent, and of what it has opened. */
export function discard (payload: unknown): void {
  keepFromCrashing(payload)
  if (isResponse(payload)) discard(payload.body)
  else if (isWebStream(payload)) void cancel(payload)
  else if (isOldStream(payload)) letGo(payload)
}

async function cancel (stream: ReadableStream): Promise<void> {
  // Who has locked it has to see to it.
  await stream.cancel().catch(() => {})
}

/** In the ways that Fastify knows. */
function letGo (stream: OldStream): void {
  if (stream.destroy !== undefined) stream.destroy()
  else if (stream.close !== undefined) stream.close()
  else stream.abort?.()
}

/**
 * Waits until a stream has something to send, or nothing more, or nobody to send it to. Fastify answers with an error when a stream fails before its
 * first byte (a file that is not there), so that much must be known before the commit. An event stream may be silent for
 * long and is not waited for.
 * @throws what the stream fails with
 */
export async function firstByte (payload: Readable, reply: FastifyReply): Promise<void> {
  if (payload.errored !== null) throw payload.errored
  if (payload.readableEnded || isClosed(reply.raw)) return
  // What is in one that was destroyed is never sent.
  if (!payload.destroyed && (payload.readableFlowing === true || payload.readableLength > 0 || isEventStream(reply))) return
  const stop = new AbortController()
  const { signal } = stop
  const connection = connectionOf(reply.raw)
  const gone = Promise.withResolvers<undefined>()
  const leave = () => { gone.resolve(undefined) }
  // However it has left: an error of the connection is none of the reply.
  connection.once('close', leave)
  try {
    await Promise.race([
      once(payload, 'readable', { signal }),
      finished(payload, { writable: false, cleanup: true, signal }),
      gone.promise
    ])
  } finally {
    stop.abort()
    connection.off('close', leave)
  }
}

function isEventStream (reply: FastifyReply): boolean {
  return String(reply.getHeader('content-type')).startsWith('text/event-stream')
}

function hasMethod (payload: unknown, method: string): payload is Record<string, unknown> {
  return typeof payload === 'object' && payload !== null && typeof (payload as Record<string, unknown>)[method] === 'function'
}
