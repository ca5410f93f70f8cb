import { once } from 'node:events'
import WebSocket from 'ws'

/** A WebSocket of a real client. */
export interface Socket {
  /** What the server has answered: 101, or why it is not let in. */
  readonly status: number
  send (message: string): void
  /** Resolves to the next message that was not taken yet. */
  next (): Promise<string>
  readonly isOpen: boolean
  leave (): void
}

export async function openSocket (origin: string, path: string, protocol?: string): Promise<Socket> {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}${path}`, protocol)
  socket.on('error', () => {})
  const messages: string[] = []
  socket.on('message', data => {
    messages.push(String(data))
    socket.emit('kept')
  })
  const status = await Promise.race([
    once(socket, 'open').then(() => 101),
    once(socket, 'unexpected-response').then(([, response]) => (response as { statusCode: number }).statusCode)
  ])
  return {
    status,
    send (message) { socket.send(message) },
    async next () {
      while (messages.length === 0) await once(socket, 'kept')
      return messages.shift() ?? ''
    },
    get isOpen () { return socket.readyState === WebSocket.OPEN },
    leave () { socket.terminate() }
  }
}
