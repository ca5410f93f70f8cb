import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** Stands between a driver and its server. */
export interface Relay {
  /** What stands in the place of the server's address. */
  readonly url: string
  stop (): Promise<void>
}

/**
 * Starts one on 127.0.0.1. When one side of a connection closes, so does the other.
 * @param others where connections lead after the first, in place of `target`
 * @param join is called for each connection, and passes on what goes either way
 */
export async function startRelay (target: string, join: (client: Socket, upstream: Socket) => void, others = target): Promise<Relay> {
  let next = target
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const { hostname, port } = new URL(next)
    next = others
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => { client.destroy(); upstream.destroy(); sockets.delete(socket) })
    }
    join(client, upstream)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    async stop () {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}
