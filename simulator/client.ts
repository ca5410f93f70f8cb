import type { FastifyInstance } from 'fastify'
import type { Answer } from '../torture/answer.ts'
import type { PlannedRequest } from '../torture/plan.ts'

/** Sends a request. Never throws: no answer is an answer, too. */
export async function ask (app: FastifyInstance, { route: { name, method }, token, order }: PlannedRequest, signal: AbortSignal): Promise<Answer> {
  try {
    const { statusCode: status, headers, body } = await app.inject({
      method,
      url: `/${name}`,
      headers: { 'x-token': token },
      signal,
      ...method === 'POST' && { payload: { ...order } }
    })
    const retryAfter = headers['retry-after']
    return {
      status,
      body,
      code: codeIn(body),
      hasRun: headers['x-run'] === 'committed',
      ...retryAfter !== undefined && { retryAfter: String(retryAfter) },
      hasLeft: signal.aborted,
      isRead: true
    }
  } catch (error) {
    return { status: undefined, error: (error as Error).message, hasLeft: signal.aborted, isRead: false }
  }
}

function codeIn (body: string): string | undefined {
  try {
    return (JSON.parse(body) as { code?: string }).code
  } catch {
    return undefined
  }
}
