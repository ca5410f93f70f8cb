import type { Socket } from 'node:net'
import { startRelay, type Relay } from './relay.ts'

/** What a proxy does with the statement that a client sends: passes it on, and perhaps cuts the connection, or has it lead nowhere from then on. */
export type Reaction = 'cut before' | 'cut after' | 'strand' | undefined

/** A proxy between a MySQL driver and its server, whose connections a test can cut at a statement. */
export interface Proxy extends Relay {
  /** Asked about every statement that passes: its text. */
  react: (sql: string) => Reaction
  /** Asked about every connection: whether the server is to have no place for it. */
  refuses: () => boolean
  /** The connections that there are now lead nowhere from then on, and neither side is told. */
  strand (): void
}

const COM_QUERY = 3

/** Starts a proxy to the server at `target`. */
export async function startProxy (target: string): Promise<Proxy> {
  const clients = new Set<Socket>()
  const stranded = new WeakSet<Socket>()
  const relay = await startRelay(target, (client, upstream) => {
    if (proxy.refuses()) { client.end(TOO_MANY_CONNECTIONS); return }
    clients.add(client)
    client.on('close', () => { clients.delete(client) })
    upstream.on('data', data => { if (!stranded.has(client)) client.write(data) })
    client.on('data', data => {
      const reaction = data[4] === COM_QUERY ? proxy.react(data.subarray(5).toString()) : undefined
      if (reaction === 'strand') stranded.add(client)
      if (stranded.has(client)) return
      if (reaction === 'cut before') { client.destroy(); return }
      upstream.write(data)
      // The answer is dropped, so that what was asked for is done when the client learns of the cut.
      if (reaction === 'cut after') upstream.removeAllListeners('data').once('data', () => client.destroy())
    })
  })
  const proxy: Proxy = { ...relay, react: () => undefined, refuses: () => false, strand () { for (const client of clients) stranded.add(client) } }
  return proxy
}

/** What a server says that has no place any more, error 1040, in the place of its greeting. */
const TOO_MANY_CONNECTIONS = packet(Buffer.concat([Buffer.from([0xff, 1040 & 0xff, 1040 >> 8]), Buffer.from('#08004Too many connections')]))

function packet (content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([content.length, 0, 0, 0]), content])
}
