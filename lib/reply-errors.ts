import type { FastifyError } from '@fastify/error'
import type { FastifyReply } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { tellsOfDatabase } from './database-error.ts'
import { answerTo } from './http-errors.ts'

const SAFE_MESSAGE = 'A database error occurred'

/** Replies that were kept private already: an error that comes now comes after every error handler. */
const kept = new WeakSet<FastifyReply>()

/**
 * Keeps what a database said of SQL, values and names out of the reply. Fastify's default error handler, and every error
 * handler that passes the error on, ends in `reply.send(error)`, whose message goes to the client: from here on it
 * is sent with another message. Error handlers and the log get the error itself before that.
 *
 * @param isMapped whether the message is that of the answer of `mapErrors`, where there is one
 * @returns whether it has answered: Fastify sends an error that comes while an error reply is sent without asking anybody
 */
export function keepDatabaseErrorsPrivate (reply: FastifyReply, error: Error, isMapped: boolean): boolean {
  if (kept.has(reply)) return [tellsOfDatabase(error), isMapped && answerTo(error) !== undefined].includes(true) && answer(reply, error)
  kept.add(reply)
  const { send } = reply
  reply.send = function (this: FastifyReply, payload?: unknown) {
    const answer = isMapped ? answerTo(payload) : undefined
    const isTelling = answer !== undefined || tellsOfDatabase(payload)
    return send.call(this, isTelling ? withSafeMessage(payload as Error, answer) : payload)
  }
  return false
}

/** What Fastify would answer, but for the message. It would not log it either. */
function answer (reply: FastifyReply, err: Error): boolean {
  if (reply.raw.headersSent) return false
  reply.log.error({ err }, 'an error reply failed')
  const { statusCode } = reply
  const body = JSON.stringify({ statusCode, code: (err as { code?: unknown }).code, error: STATUS_CODES[statusCode], message: SAFE_MESSAGE })
  for (const name of ['content-length', 'content-encoding', 'transfer-encoding']) reply.removeHeader(name)
  reply.hijack()
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

/** The same error, without what the database said: an outer error handler still sees its class, its code and its stack. */
function withSafeMessage (error: Error, answer?: FastifyError): Error {
  const safe = Object.create(error) as Error
  for (const property of TELLING) Object.defineProperty(safe, property, { value: undefined })
  if (answer !== undefined) Object.defineProperty(safe, 'code', { value: answer.code })
  return Object.defineProperty(safe, 'message', { value: answer?.message ?? SAFE_MESSAGE, configurable: true, writable: true })
}
