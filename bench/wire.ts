import { startRelay, type Relay } from '../test/support/relay.ts'

/** What has gone to a MariaDB server. */
export interface Traffic {
  /** The text of each statement. */
  readonly statements: string[]
  /** How often somebody has sent something and waited for the answer. */
  roundTrips: number
}

export interface Wire extends Relay {
  /** What has gone by since the last call. */
  take (): Traffic
}

const COM_QUERY = 3
const HEADER = 4

/** Counts, on the way to the server at `target`, what its clients send once they are logged in. */
export async function tapWire (target: string): Promise<Wire> {
  let traffic: Traffic = { statements: [], roundTrips: 0 }
  const relay = await startRelay(target, (client, upstream) => {
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
  })
  return {
    ...relay,
    take () {
      const taken = traffic
      traffic = { statements: [], roundTrips: 0 }
      return taken
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
