import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

/** What a proxy does with the statement that a client sends: passes it on, and perhaps cuts the connection. */
export type Reaction = 'cut before' | 'cut after' | undefined

/** A proxy between a MySQL driver and its server, whose connections a test can cut at a statement. */
export interface Proxy {
  /** What stands in the place of the server's address. */
  readonly url: string
  /** Asked about every statement that passes: its text. */
  react: (sql: string) => Reaction
  stop (): Promise<void>
}

const COM_QUERY = 3

/** Starts a proxy to the server at `target`. */
export async function startProxy (target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => { client.destroy(); upstream.destroy(); sockets.delete(socket) })
    }
    upstream.on('data', data => client.write(data))
    client.on('data', data => {
      const reaction = data[4] === COM_QUERY ? proxy.react(data.subarray(5).toString()) : undefined
      if (reaction === 'cut before') { client.destroy(); return }
      upstream.write(data)
      // The answer is dropped, so that what was asked for is done when the client learns of the cut.
      if (reaction === 'cut after') upstream.removeAllListeners('data').once('data', () => client.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  const proxy: Proxy = {
    url: url.href,
    react: () => undefined,
    async stop () {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
  return proxy
}
