import type { FastifyReply } from 'fastify'
import { isDatabaseError } from './database-error.ts'

const SAFE_MESSAGE = 'A database error occurred'

/**
 * Keeps what a database said of SQL, values and names out of the reply. Fastify's default error handler, and every error
 * handler that passes the error on, ends in `reply.send(error)`, whose message goes to the client: from here on it
 * is sent with another message. Error handlers and the log get the error itself before that.
 */
export function keepDatabaseErrorsPrivate (reply: FastifyReply): void {
  const { send } = reply
  reply.send = function (this: FastifyReply, payload?: unknown) {
    return send.call(this, isDatabaseError(payload) ? withSafeMessage(payload) : payload)
  }
}

/** What drivers add to their errors besides a code, and a response schema could ask for. */
const TELLING = ['sql', 'sqlMessage', 'query', 'parameters', 'detail', 'hint', 'where', 'schema', 'table', 'column', 'constraint']

/** The same error, without what the database said: an outer error handler still sees its class, its code and its stack. */
function withSafeMessage (error: Error): Error {
  const safe = Object.create(error) as Error
  for (const property of TELLING) Object.defineProperty(safe, property, { value: undefined })
  return Object.defineProperty(safe, 'message', { value: SAFE_MESSAGE, configurable: true, writable: true })
}
