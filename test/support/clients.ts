import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'

/** A client that can go away at any moment. */
export interface Client {
  readonly socket: Socket
  /** All that has come so far. */
  readonly received: () => string
  /** Resolves when `text` has come. */
  until (text: string): Promise<void>
  leave (): void
}

/** Opens a connection and sends `lines` as they are. */
export async function rawClient (port: number, lines: string[]): Promise<Client> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  let received = ''
  socket.on('data', chunk => { received += String(chunk) })
  socket.write(lines.join('\r\n'))
  return {
    socket,
    received: () => received,
    async until (text) {
      while (!received.includes(text)) await once(socket, 'data')
    },
    leave: () => { socket.destroy() }
  }
}

/** Sends a whole request, after which the client can leave. */
export async function post (port: number, path: string, body = ''): Promise<Client> {
  return await rawClient(port, [`POST ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close', 'Content-Type: text/plain', `Content-Length: ${body.length}`, '', body])
}

/** Sends a whole request and leaves when the handler is where `arrived` says. */
export async function postAndLeave (port: number, path: string, arrived: Promise<void>): Promise<void> {
  const client = await post(port, path)
  await arrived
  client.leave()
}

/** Sends a body in chunks, waiting for `between` after each. */
export async function postSlowly (origin: string, path: string, type: string, chunks: string[], between: () => Promise<void>): Promise<{ status: number, body: string }> {
  const outgoing = request(`${origin}${path}`, { method: 'POST', headers: { 'content-type': type } })
  const answered = once(outgoing, 'response')
  for (const chunk of chunks) {
    outgoing.write(chunk)
    await between()
  }
  outgoing.end()
  const [incoming] = await answered as [IncomingMessage]
  let body = ''
  for await (const chunk of incoming) body += String(chunk)
  return { status: incoming.statusCode ?? 0, body }
}
