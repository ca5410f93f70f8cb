import createError from '@fastify/error'
import { errorCodes, type FastifyReply } from 'fastify'
import { ServerResponse, type OutgoingHttpHeaders } from 'node:http'
import { Readable, Writable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { fromOldStream, isOldStream, isResponse, isWebStream } from './payload.ts'
import { isStreamed, trailersOf } from './reply.ts'

/**
 * Looks whether Fastify and Node will be able to send a reply. They look at it only after the last `onSend` hook, and answer 500 when
 * something is wrong: too late for a commit that was made on the strength of a 200.
 * @throws what Fastify or Node would throw
 */
export function assertSendable (payload: unknown, reply: FastifyReply): void {
  const response = isResponse(payload) ? payload : undefined
  if (response?.bodyUsed === true) throw new errorCodes.FST_ERR_REP_RESPONSE_BODY_CONSUMED()
  const body = response === undefined ? payload : response.body
  assertBody(body)
  assertHead(reply, body, response)
}

/** The status that the client will see: a web `Response` brings its own, which Fastify takes over after `onSend`. */
export function statusOf (payload: unknown, reply: FastifyReply): number {
  return isResponse(payload) ? payload.status : reply.statusCode
}

/**
 * Makes a Node stream of what is another kind of stream: only those can be looked into.
 * @returns what to send in the place of `payload`. The head of a web `Response` is then that of the reply
 */
export function readable (payload: unknown, reply: FastifyReply): unknown {
  if (isResponse(payload)) {
    reply.code(payload.status)
    for (const [name, value] of payload.headers) reply.header(name, value)
    return readable(payload.body, reply)
  }
  if (payload instanceof Readable) return payload
  if (isOldStream(payload)) return fromOldStream(payload)
  // One of another make is sent as it is.
  return payload instanceof ReadableStream ? Readable.fromWeb(payload) : payload
}

function assertBody (body: unknown): void {
  if (body === undefined || body === null || typeof body === 'string' || Buffer.isBuffer(body)) return
  // What can only be written to has a pipe(), too.
  if (isOldStream(body) && (body instanceof Readable || !(body instanceof Writable))) return
  if (!isWebStream(body)) throw new errorCodes.FST_ERR_REP_INVALID_PAYLOAD_TYPE(typeof body)
  if (body.locked) throw new errorCodes.FST_ERR_REP_READABLE_STREAM_LOCKED()
}

/** On a response that is sent to nobody: Node checks the head of a real one when it is too late. */
function assertHead (reply: FastifyReply, body: unknown, response: Response | undefined): void {
  const { raw, request } = reply
  // Behind a head that was written by hand, Fastify sends nothing but streams.
  if (raw.headersSent && !isOldStream(body) && !isWebStream(body)) throw new HeadersSentError()
  const status = response?.status ?? raw.statusCode
  if (response !== undefined && !(status >= 100 && status <= 599)) throw new errorCodes.FST_ERR_BAD_STATUS_CODE(status)
  const headers: OutgoingHttpHeaders = { ...reply.getHeaders() as OutgoingHttpHeaders, ...response && Object.fromEntries(response.headers) }
  const isHttp2 = request.raw.httpVersionMajor === 2
  if (isHttp2) {
    assertHttp2Headers(headers)
    // A body that ends as it likes: what is left are the names and values.
    new ServerResponse(request.raw).writeHead(200, { ...headers, 'transfer-encoding': 'chunked' })
    return
  }
  const head = { ...headers, ...framing(reply, body) }
  if (status >= 200 && status <= 599 && raw.statusMessage === undefined && Object.entries(head).every(isPlain)) return
  const trial = new ServerResponse(request.raw)
  if (raw.statusMessage !== undefined) trial.statusMessage = raw.statusMessage
  trial.writeHead(status, head)
}

/** Whether it is a header that Node has nothing against, whatever the others are. Most heads have no other, and a trial costs more than to look. */
function isPlain ([name, value]: [string, unknown]): boolean {
  return name !== 'trailer' && PLAIN_NAME.test(name) && (typeof value === 'string' ? PLAIN_VALUE.test(value) : typeof value === 'number' && name === 'content-length')
}

const PLAIN_NAME = /^[a-z-]+$/

const PLAIN_VALUE = /^[ -~]*$/

/** What Fastify adds of how the reply ends: HTTP/1 has trailers only where the length is not told before. */
function framing (reply: FastifyReply, body: unknown): OutgoingHttpHeaders {
  const trailers = trailersOf(reply)
  if (trailers.length > 0) return { 'transfer-encoding': 'chunked', trailer: trailers.join(' ') }
  return isStreamed(body) ? {} : { 'content-length': Buffer.byteLength(body as string | Buffer | undefined ?? '') }
}

function assertHttp2Headers (headers: object): void {
  for (const [name, value] of Object.entries(headers) as [string, unknown][]) {
    if (value === null || (Array.isArray(value) && value.length > 1 && SINGLE_HTTP2_VALUES.has(name))) throw new HeaderValueError(name)
    if (HTTP1_HEADERS.has(name) || (name === 'te' && value !== 'trailers')) throw new ConnectionHeaderError(name)
  }
}

/** Those of the connection of HTTP/1. `connection` itself is left out with a warning. */
const HTTP1_HEADERS = new Set(['http2-settings', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** Those of a reply that HTTP/2 has once only. */
const SINGLE_HTTP2_VALUES = new Set([
  'access-control-allow-credentials', 'access-control-max-age', 'age', 'content-encoding', 'content-language', 'content-length', 'content-location',
  'content-md5', 'content-range', 'content-type', 'date', 'etag', 'expires', 'last-modified', 'location', 'retry-after', 'tk', 'x-content-type-options'
])

const HeadersSentError = createError('ERR_HTTP_HEADERS_SENT', 'Cannot send a reply: its headers are sent to the client already')

const ConnectionHeaderError = createError('ERR_HTTP2_INVALID_CONNECTION_HEADERS', 'HTTP/1 connection-specific header "%s" is forbidden')

const HeaderValueError = createError('ERR_HTTP2_INVALID_HEADER_VALUE', 'Invalid value for header "%s"')
