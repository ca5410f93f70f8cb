import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Application } from './application.ts'
import { NEVER_ANSWERED, type Answer } from './answer.ts'
import type { PlannedRequest } from './plan.ts'

/** How long a client waits for its answer, in milliseconds. Nothing in the application takes nearly as long. */
const PATIENCE = 60_000

/** How much of a body is kept. */
const MOST_KEPT = 2_000

const NO_ANSWER: Answer = { status: undefined, hasLeft: false, isRead: false }

const UPGRADE = { connection: 'upgrade', upgrade: 'torture' }

/** Sends requests over connections that are kept, and goes away or stalls where the plan says so. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true })
  readonly #upgraded = new Set<Socket>()

  /** Sends one request. Never throws: no answer is an answer, too. */
  async send (planned: PlannedRequest, application: Application): Promise<Answer> {
    const answer = await this.#attempt(planned, application)
    // A connection that was kept can be closed just when it is used again.
    return planned.unit === undefined && answer.error === 'ECONNRESET' ? await this.#attempt(planned, application) : answer
  }

  #attempt (planned: PlannedRequest, application: Application): Promise<Answer> {
    const { route: { name, method, isUpgrade }, token, order, leaves, stall, tells } = planned
    const body = method === 'POST' ? JSON.stringify(order) : ''
    const headers = {
      'x-token': token,
      ...method === 'POST' && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) },
      ...isUpgrade === true && UPGRADE,
      ...tells !== undefined && { 'x-tells': tells }
    }
    return new Promise(resolve => {
      const outgoing = httpRequest({ host: '127.0.0.1', port: application.port, method, path: `/${name}`, headers, agent: isUpgrade === true ? false : this.#agent })
      outgoing.on('error', ({ message, code = message }: NodeJS.ErrnoException) => resolve({ ...NO_ANSWER, error: code, hasLeft: message === LEFT }))
      outgoing.on('response', incoming => {
        if (leaves === 'reply') incoming.destroy()
        void Promise.resolve(stall?.at === 'reply' ? stall.until() : undefined).then(async () => await readAnswer(incoming, leaves === 'reply')).then(resolve)
      })
      outgoing.on('upgrade', ({ statusCode: status }, socket) => {
        this.#keep(socket)
        resolve({ status, hasLeft: false, isRead: true })
      })
      const timer = setTimeout(() => outgoing.destroy(new Error(NEVER_ANSWERED)), PATIENCE)
      outgoing.on('close', () => clearTimeout(timer))
      if (leaves === 'upload') upload(outgoing, body, () => setImmediate(() => outgoing.destroy(new Error(LEFT))))
      else if (stall?.at === 'upload') upload(outgoing, body, rest => { void stall.until().then(() => outgoing.end(rest)) })
      else outgoing.end(body)
      if (tells !== undefined && tells === leaves) application.onStage(token, leaves, () => outgoing.destroy(new Error(LEFT)))
      if (tells !== undefined) outgoing.on('close', () => application.forgetStage(token, tells))
    })
  }

  #keep (socket: Socket): void {
    this.#upgraded.add(socket)
    socket.on('error', () => {}).on('close', () => this.#upgraded.delete(socket)).resume()
  }

  /** Leaves the connections that were taken over. */
  hangUp (): void {
    for (const socket of this.#upgraded) socket.destroy()
  }

  close (): void {
    this.hangUp()
    this.#agent.destroy()
  }
}

const LEFT = 'the client has left'

/** Uploads half of the body, and leaves the rest to `then`. */
function upload (outgoing: ClientRequest, body: string, then: (rest: string) => void): void {
  const half = body.length / 2
  outgoing.flushHeaders()
  outgoing.write(body.slice(0, half), () => then(body.slice(half)))
}

async function readAnswer (incoming: IncomingMessage, hasLeft: boolean): Promise<Answer> {
  const body = await textOf(incoming)
  const { statusCode: status, headers, complete } = incoming
  return {
    status,
    body,
    hasLeft,
    // Of a small reply all may have come before its client left.
    isRead: complete && !hasLeft,
    code: codeIn(body),
    hasRun: headers['x-run'] === 'committed',
    retryAfter: headers['retry-after']
  }
}

/** As much as came, or the beginning of it: a body may break off, and its client may have left. */
async function textOf (incoming: IncomingMessage): Promise<string> {
  let text = ''
  try {
    for await (const chunk of incoming) if (text.length < MOST_KEPT) text += String(chunk)
  } catch {}
  return text.slice(0, MOST_KEPT)
}

function codeIn (body: string): string | undefined {
  try {
    return (JSON.parse(body) as { code?: string }).code
  } catch {
    return undefined
  }
}
