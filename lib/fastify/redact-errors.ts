import type { FastifyReply } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { tellsOfDatabase } from '../session/database-error.ts'
import { withoutEntity } from '../session/rejected-value.ts'
import { answerTo, type HttpError } from './http-errors.ts'
import { interceptSend } from './reply.ts'

/** Replies that were redacted already: an error that comes now comes after every error handler. */
const redacted = new WeakSet<FastifyReply>()

/**
 * Redacts what a database said of SQL, values and names. Fastify's default error handler, and every error
 * handler that passes the error on, ends in `reply.send(error)`, whose message goes to the client: from here on it
 * is sent with another message. Error handlers and the log get the error itself before that.
 *
 * @param isMapped whether the message is that of the answer of `mapErrors`, where there is one
 * @returns whether it has answered: Fastify sends an error that comes while an error reply is sent without asking anybody
 */
export function redactDatabaseErrors (reply: FastifyReply, error: Error, isMapped: boolean): boolean {
  const answer = answerInstead(error, isMapped)
  if (redacted.has(reply)) return answer !== undefined && sendInstead(reply, error, answer)
  redacted.add(reply)
  interceptSend(reply, (payload, send) => {
    const answer = answerInstead(payload, isMapped)
    return send(answer === undefined ? payload : withAnswer(payload as Error, answer))
  })
  return false
}

/** What a client is told of an error. */
type Answer = Pick<HttpError, 'message'> & Partial<HttpError>

/** What to tell in the place of an error that would tell of the database, or of what an entity holds. */
function answerInstead (error: unknown, isMapped: boolean): Answer | undefined {
  const mapped = isMapped ? answerTo(error) : undefined
  if (mapped !== undefined || tellsOfDatabase(error)) return mapped ?? REDACTED
  const message = withoutEntity(error)
  return message === undefined ? undefined : { message }
}

const REDACTED: Answer = { message: 'A database error occurred' }

/** Answers as Fastify would, but for the message. It would not log it either. */
function sendInstead (reply: FastifyReply, err: Error, answer: Answer): boolean {
  if (reply.raw.headersSent) return false
  reply.log.error({ err }, 'an error reply failed')
  const { code = (err as { code?: unknown }).code, statusCode = reply.statusCode, message, headers = {} } = answer
  const body = JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode], message })
  for (const name of ['content-length', 'content-encoding', 'transfer-encoding']) reply.removeHeader(name)
  reply.code(statusCode).headers(headers).hijack()
  writeHead(reply)
  reply.raw.end(body)
  return true
}

/** Without the headers that the reply has collected, as Fastify does, when one of them cannot be sent. */
function writeHead (reply: FastifyReply): void {
  const type = { 'content-type': 'application/json; charset=utf-8' }
  try {
    reply.raw.writeHead(reply.statusCode, { ...reply.getHeaders() as Record<string, string>, ...type })
  } catch {
    reply.raw.writeHead(reply.statusCode, type)
  }
}

/** What drivers add to their errors besides a code, and a response schema could ask for. */
const TELLING = [
  'sql', 'sqlMessage', 'query', 'parameters', 'detail', 'hint', 'where', 'internalQuery', 'schema', 'table', 'column', 'constraint',
  'dataType', 'errmsg', 'keyValue', 'address', 'hostname', 'serverName', 'procName', 'cause', 'errors'
]

/** The same error, without what the database said: an outer error handler still sees its class, its stack, and its code unless it is mapped. */
function withAnswer (error: Error, { message, code, statusCode, headers }: Answer): Error {
  const safe = Object.create(error) as Error
  for (const property of TELLING) Object.defineProperty(safe, property, { value: undefined })
  if (code !== undefined) Object.defineProperty(safe, 'code', { value: code })
  // A frozen error could not take them.
  for (const [property, value] of Object.entries({ statusCode, headers })) {
    if (value !== undefined && !(property in error)) Object.defineProperty(safe, property, { value })
  }
  return Object.defineProperty(safe, 'message', { value: message, configurable: true, writable: true })
}
