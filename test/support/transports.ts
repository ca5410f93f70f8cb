import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect, constants } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { rawClient } from './clients.ts'
import { onEachDatabase, type Stage, type StageOptions } from './on-each-database.ts'
import type { Test } from 'tap'

/** What a client has got; no status where the connection was broken off before one came. */
export interface Answer {
  readonly status: number | undefined
  readonly headers: Record<string, unknown>
  readonly body: string
}

/** A way to an application. */
export interface Transport {
  readonly name: string
  request (method: string, path: string): Promise<Answer>
  /** Sends a request, and leaves when `arrived`. */
  leave (method: string, path: string, arrived: Promise<unknown>): Promise<void>
}

type Make = (app: FastifyInstance) => Transport

const TRANSPORTS: Record<string, Make> = { 'HTTP/1.1': http1, 'HTTP/2': http2, inject }

/** Runs a test on each database, with clients of each kind. */
export function onEachTransport (name: string, options: StageOptions, run: (t: Test, stage: Stage & { transport: Transport }) => Promise<void>): void {
  for (const [kind, make] of Object.entries(TRANSPORTS)) {
    const fastify = kind === 'HTTP/2' ? { ...options.fastify, http2: true } : { ...options.fastify }
    onEachDatabase(`${name} [${kind}]`, { ...options, fastify }, async (t, stage) => {
      await run(t, { ...stage, transport: make(stage.app) })
    })
  }
}

async function portOf (app: FastifyInstance): Promise<number> {
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

function http1 (app: FastifyInstance): Transport {
  return {
    name: 'HTTP/1.1',
    async request (method, path) {
      const response = await fetch(`http://127.0.0.1:${await portOf(app)}${path}`, { method, headers: { connection: 'close' } }).catch(() => undefined)
      return { status: response?.status, headers: Object.fromEntries(response?.headers ?? []), body: await response?.text().catch(() => 'broken off') ?? '' }
    },
    async leave (method, path, arrived) {
      const client = await rawClient(await portOf(app), [`${method} ${path} HTTP/1.1`, 'Host: localhost', 'Content-Length: 0', '', ''])
      await arrived
      client.leave()
    }
  }
}

function http2 (app: FastifyInstance): Transport {
  const open = async (method: string, path: string) => {
    const session = connect(`http://127.0.0.1:${await portOf(app)}`)
    const stream = session.request({ ':method': method, ':path': path })
    stream.on('error', () => {})
    session.on('error', () => {})
    stream.end()
    return { session, stream }
  }
  return {
    name: 'HTTP/2',
    async request (method, path) {
      const { session, stream } = await open(method, path)
      let headers: Record<string, unknown> = {}
      let body = ''
      stream.on('response', given => { headers = given })
      stream.on('data', chunk => { body += String(chunk) })
      await new Promise(resolve => { stream.on('close', resolve) })
      session.close()
      return { status: headers[':status'] as number | undefined, headers, body }
    },
    async leave (method, path, arrived) {
      const { session, stream } = await open(method, path)
      await arrived
      stream.close(constants.NGHTTP2_CANCEL)
      await once(stream, 'close')
      session.close()
    }
  }
}

function inject (app: FastifyInstance): Transport {
  return {
    name: 'inject',
    async request (method, path) {
      const response = await app.inject({ method: method as 'POST', url: path }).catch(() => undefined)
      return { status: response?.statusCode, headers: { ...response?.headers }, body: response?.body ?? '' }
    },
    async leave (method, path, arrived) {
      const abort = new AbortController()
      const answered = app.inject({ method: method as 'POST', url: path, signal: abort.signal }).catch(() => undefined)
      await arrived
      abort.abort()
      await answered
    }
  }
}
