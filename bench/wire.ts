import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What has gone to a MariaDB server. */
export interface Traffic {
  /** The text of each statement. */
  readonly statements: string[]
  /** How often somebody has sent something and waited for the answer. */
  roundTrips: number
}

export interface Wire {
  /** What stands in the place of the server's address. */
  readonly url: string
  /** What has gone by since the last call. */
  take (): Traffic
  stop (): Promise<void>
}

const COM_QUERY = 3
const HEADER = 4

/** A proxy to the server at `target` that counts what its clients send once they are logged in. */
export async function tapWire (target: string): Promise<Wire> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let traffic: Traffic = { statements: [], roundTrips: 0 }
  const server = createServer(client => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => { client.destroy(); upstream.destroy(); sockets.delete(socket) })
    }
    let isWaiting = false
    upstream.on('data', data => {
      isWaiting = false
      client.write(data)
    })
    client.on('data', (data: Buffer) => {
      const statements = statementsOf(data)
      traffic.statements.push(...statements)
      if (statements.length > 0 && !isWaiting) traffic.roundTrips++
      isWaiting = true
      upstream.write(data)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href.replace(/\/$/, ''),
    take () {
      const taken = traffic
      traffic = { statements: [], roundTrips: 0 }
      return taken
    },
    async stop () {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}

/** The statements in what a client has sent at once: several commands can be in it. Commands of other kinds (ping, quit) are none. */
function statementsOf (data: Buffer): string[] {
  const statements: string[] = []
  for (let at = 0; at + HEADER < data.length;) {
    const end = at + HEADER + data.readUIntLE(at, 3)
    // Only the first packet of a command has the number 0.
    if (data[at + 3] === 0 && data[at + HEADER] === COM_QUERY) statements.push(data.subarray(at + HEADER + 1, end).toString())
    at = end
  }
  return statements
}
