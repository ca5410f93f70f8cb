import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Application } from './application.ts'
import { NEVER_ANSWERED, type Answer } from './answer.ts'
import type { PlannedRequest } from './plan.ts'

/** How long a client waits for its answer, in milliseconds. Nothing in the application takes nearly as long. */
const PATIENCE = 60_000

const NO_ANSWER: Answer = { status: undefined, hasLeft: false, isRead: false }

/** Sends requests over connections that are kept, and goes away where the plan says so. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true })

  /** Sends one request. Never throws: no answer is an answer, too. */
  async send (planned: PlannedRequest, application: Application): Promise<Answer> {
    const answer = await this.#attempt(planned, application)
    // A connection that was kept can be closed just when it is used again.
    return planned.method === 'GET' && answer.error === 'ECONNRESET' ? await this.#attempt(planned, application) : answer
  }

  #attempt (planned: PlannedRequest, application: Application): Promise<Answer> {
    const { method, route, token, order, leaves, tells } = planned
    const body = method === 'POST' ? JSON.stringify(order) : ''
    const headers = {
      'x-token': token,
      ...method === 'POST' && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) },
      ...tells !== undefined && { 'x-tells': tells }
    }
    return new Promise(resolve => {
      const outgoing = httpRequest({ host: '127.0.0.1', port: application.port, method, path: `/${route}`, headers, agent: this.#agent })
      outgoing.on('error', ({ message, code = message }: NodeJS.ErrnoException) => resolve({ ...NO_ANSWER, error: code, hasLeft: message === LEFT }))
      outgoing.on('response', incoming => {
        if (leaves === 'reply') incoming.destroy()
        void readAnswer(incoming, leaves === 'reply').then(resolve)
      })
      const timer = setTimeout(() => outgoing.destroy(new Error(NEVER_ANSWERED)), PATIENCE)
      outgoing.on('close', () => clearTimeout(timer))
      if (leaves === 'upload') uploadHalf(outgoing, body)
      else outgoing.end(body)
      if (leaves === 'handler' || leaves === 'commit') application.onStage(token, leaves, () => outgoing.destroy(new Error(LEFT)))
      if (tells !== undefined) outgoing.on('close', () => application.forgetStage(token, tells))
    })
  }

  close (): void {
    this.#agent.destroy()
  }
}

const LEFT = 'the client has left'

function uploadHalf (outgoing: ClientRequest, body: string): void {
  outgoing.flushHeaders()
  outgoing.write(body.slice(0, body.length / 2), () => setImmediate(() => outgoing.destroy(new Error(LEFT))))
}

async function readAnswer (incoming: IncomingMessage, hasLeft: boolean): Promise<Answer> {
  const body = await textOf(incoming)
  const { statusCode: status, headers, complete: isRead } = incoming
  return {
    status,
    body,
    hasLeft,
    isRead,
    code: codeIn(body),
    hasRun: headers['x-run'] === 'committed',
    retryAfter: headers['retry-after']
  }
}

/** As much as came: a body may break off, and its client may have left. */
async function textOf (incoming: IncomingMessage): Promise<string> {
  let text = ''
  try {
    for await (const chunk of incoming) text += String(chunk)
  } catch {}
  return text
}

function codeIn (body: string): string | undefined {
  try {
    return (JSON.parse(body) as { code?: string }).code
  } catch {
    return undefined
  }
}
