import type { FastifyReply } from 'fastify'

/** Whether the client has gone: an HTTP/2 reply only says so through its stream. */
export function isClosed (raw: FastifyReply['raw']): boolean {
  const { stream } = raw as { stream?: { destroyed?: boolean } }
  return raw.destroyed || raw.closed || stream?.destroyed === true
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
