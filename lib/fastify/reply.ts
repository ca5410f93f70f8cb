import type { FastifyReply } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import { ServerResponse } from 'node:http'
import { isClosed } from './client-connection.ts'
import { mapError } from './http-errors.ts'
import { isPlainObject } from '../options/validate.ts'

/**
 * Error handlers that leave the status line alone must not answer `error` with that of the success.
 * @param isMapped whether an error of the database has the status of what it means
 * @returns the error
 */
export function prepareForError (reply: FastifyReply, error: unknown, isMapped: boolean): unknown {
  if (isMapped) mapError(error)
  reply.code(errorStatus(error))
  // They are of the reply that is not sent, and Fastify would announce them beside the length of the error's.
  for (const name of trailersOf(reply)) reply.removeTrailer(name)
  for (const name of OF_THE_BODY) reply.removeHeader(name)
  // Node's own for the status. HTTP/2 has none, and warns of them.
  if (reply.raw instanceof ServerResponse) reply.raw.statusMessage = ''
  return error
}

/**
 * Headers that are about the body, besides those which Fastify takes back itself. With them a client could not read the error, or a plugin that
 * answers 304 would take it for what the client knows already.
 */
const OF_THE_BODY = ['content-encoding', 'content-range', 'etag', 'last-modified']

/** The names of a reply's trailers. Fastify tells of one only when it is named. */
export function trailersOf (reply: FastifyReply): string[] {
  if (trailers === undefined || !(trailers in reply)) trailers = Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.trailers')
  const kept: unknown = trailers && Reflect.get(reply, trailers)
  return kept === undefined || kept === null ? [] : Object.keys(kept).filter(name => reply.hasTrailer(name))
}

/** What the Fastify that was met last keeps them by. */
let trailers: symbol | undefined

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
    Object.assign(raw, { [method]: (...args: unknown[]) => isClosed(raw) || isWhole() ? send.apply(raw, args) : raw.destroy() })
  }
}

/** The status to answer with when `error` stops a commit. */
export function errorStatus (error: unknown): number {
  const { statusCode } = Object(error) as { statusCode?: unknown }
  return typeof statusCode === 'number' && statusCode >= 400 ? statusCode : 500
}

/**
 * Remembers what a reply is like.
 * @returns a function that makes it so again, as often as it is called: its head, what plugins have put on it (cookies, trailers, a serializer, by
 * whatever names), and who listens to it
 */
export function snapshotReply (reply: FastifyReply): () => void {
  const { raw } = reply
  const own = snapshotOwn(reply, Reflect.ownKeys(reply))
  const head = snapshotHead(reply)
  const listeners = new Map(raw.eventNames().map(event => [event, raw.rawListeners(event)]))
  return () => {
    for (const key of Reflect.ownKeys(reply)) if (!own.has(key)) Reflect.deleteProperty(reply, key)
    restoreOwn(reply, own)
    head()
    for (const event of raw.eventNames()) {
      for (const listener of raw.rawListeners(event)) if (listeners.get(event)?.includes(listener) !== true) raw.removeListener(event, listener as () => void)
    }
  }
}

/**
 * Remembers what Fastify knows of a reply: its head, its serializer, what has become of it.
 * @returns a function that makes it so again
 */
export function snapshotSending (reply: FastifyReply): () => void {
  const own = snapshotOwn(reply, Object.getOwnPropertySymbols(reply))
  const head = snapshotHead(reply)
  return () => {
    restoreOwn(reply, own)
    head()
  }
}

/**
 * Keeps everybody from writing to a reply by hand.
 * @returns a function that ends it
 */
export function blockWrites ({ raw }: FastifyReply): () => void {
  const { writeHead, write, end, flushHeaders } = raw
  Object.assign(raw, WRITE_NOTHING)
  // What was not its own before is left on it: V8 makes an object slow that something is taken off.
  return () => { Object.assign(raw, { writeHead, write, end, flushHeaders }) }
}

const WRITE_NOTHING = {
  writeHead (this: unknown) { return this },
  write: () => true,
  end (this: unknown) { return this },
  flushHeaders: () => {}
}

function snapshotHead ({ raw }: FastifyReply): () => void {
  const { statusCode } = raw
  // HTTP/2 has no message, and warns of being asked for it.
  const response = raw instanceof ServerResponse ? raw : undefined
  const statusMessage = response?.statusMessage
  const headers = raw.getHeaders()
  return () => {
    if (raw.headersSent) return
    for (const name of raw.getHeaderNames()) raw.removeHeader(name)
    for (const [name, value] of Object.entries(headers)) raw.setHeader(name, value as string)
    raw.statusCode = statusCode
    if (response !== undefined) response.statusMessage = statusMessage as string
  }
}

function snapshotOwn (reply: FastifyReply, keys: (string | symbol)[]): Map<string | symbol, unknown> {
  return new Map(keys.map(key => [key, copyOf(Reflect.get(reply, key))]))
}

function restoreOwn (reply: FastifyReply, own: Map<string | symbol, unknown>): void {
  for (const [key, value] of own) Reflect.set(reply, key, copyOf(value))
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
  Object.assign(reply, {
    send (this: FastifyReply, payload?: unknown) {
      return intercept(payload, passed => send.call(this, passed))
    }
  })
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
