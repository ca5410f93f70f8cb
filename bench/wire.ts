import { startRelay, type Relay } from '../test/support/relay.ts'

/** What has gone to a database server. */
export interface Traffic {
  statements: number
  /** How often somebody has sent something and waited for the answer. */
  roundTrips: number
}

export interface Wire extends Relay {
  /** What has gone by since the last call. */
  take (): Traffic
}

const NOTHING: Traffic = { statements: 0, roundTrips: 0 }

/** Counts, on the way to the server at `target`, what its clients send once they are logged in. */
export async function tapWire (target: string): Promise<Wire> {
  const countStatements = target.startsWith('mysql:') ? mysqlStatements : postgresqlStatements
  let traffic = { ...NOTHING }
  const relay = await startRelay(target, (client, upstream) => {
    let isWaiting = false
    upstream.on('data', data => {
      isWaiting = false
      client.write(data)
    })
    client.on('data', (data: Buffer) => {
      const statements = countStatements(data)
      traffic.statements += statements
      if (statements > 0 && !isWaiting) traffic.roundTrips++
      isWaiting = true
      upstream.write(data)
    })
  })
  return {
    ...relay,
    take () {
      const taken = traffic
      traffic = { ...NOTHING }
      return taken
    }
  }
}

const COM_QUERY = 3
const HEADER = 4

/** How many there are in what a client has sent at once: several commands can be in it. Commands of other kinds (ping, quit) are none. */
function mysqlStatements (data: Buffer): number {
  let statements = 0
  for (let at = 0; at + HEADER < data.length;) {
    // Only the first packet of a command has the number 0.
    if (data[at + 3] === 0 && data[at + HEADER] === COM_QUERY) statements++
    at += HEADER + data.readUIntLE(at, 3)
  }
  return statements
}

/** A statement is a message of its own (Query), or, with parameters, several of which one is Execute. */
function postgresqlStatements (data: Buffer): number {
  let statements = 0
  for (let at = 0; at + HEADER < data.length;) {
    if ('QE'.includes(String.fromCharCode(data[at] as number))) statements++
    at += 1 + data.readUInt32BE(at + 1)
  }
  return statements
}
