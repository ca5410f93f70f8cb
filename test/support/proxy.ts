import type { Socket } from 'node:net'
import { startRelay, type Relay } from './relay.ts'

/** What a proxy does with the statement that a client sends: passes it on, and perhaps cuts the connection, or has it lead nowhere from then on. */
export type Reaction = 'cut before' | 'cut after' | 'strand' | undefined

/** A proxy between a driver and its server, whose connections a test can cut at a statement. */
export interface Proxy extends Relay {
  /** Asked about every statement that passes: its text. */
  react: (sql: string) => Reaction
  /** Asked about every connection: whether the server is to have no place for it. */
  refuses: () => boolean
  /** The connections that there are now lead nowhere from then on, and neither side is told. */
  strand (): void
}

/** What a proxy has to know of what a server and its clients say to each other. */
interface Protocol {
  /** The text of the statement that a client sends with this. */
  statement (data: Buffer): string | undefined
  /** Says that the server has no place any more. */
  refuse (client: Socket): void
}

/** Starts a proxy to the server at `target`. */
export async function startProxy (target: string): Promise<Proxy> {
  const protocol = target.startsWith('mysql:') ? MYSQL : POSTGRESQL
  const clients = new Set<Socket>()
  const stranded = new WeakSet<Socket>()
  const relay = await startRelay(target, (client, upstream) => {
    if (proxy.refuses()) { protocol.refuse(client); return }
    clients.add(client)
    client.on('close', () => { clients.delete(client) })
    upstream.on('data', data => { if (!stranded.has(client)) client.write(data) })
    client.on('data', data => {
      const sql = protocol.statement(data)
      const reaction = sql === undefined ? undefined : proxy.react(sql)
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

const COM_QUERY = 3

const MYSQL: Protocol = {
  statement: data => data[4] === COM_QUERY ? data.subarray(5).toString() : undefined,
  // Error 1040, in the place of its greeting.
  refuse (client) {
    const content = Buffer.concat([Buffer.from([0xff, 1040 & 0xff, 1040 >> 8]), Buffer.from('#08004Too many connections')])
    client.end(Buffer.concat([Buffer.from([content.length, 0, 0, 0]), content]))
  }
}

/** pg sends a statement in one piece: as a message of its own, or, with parameters or as a cursor, as several that begin with Parse. */
const POSTGRESQL: Protocol = {
  statement (data) {
    const [first, second] = data.subarray(5).toString().split('\0')
    return { Q: first, P: second }[String.fromCharCode(Number(data[0]))]
  },
  // As the answer to who the client is.
  refuse (client) {
    client.once('data', () => {
      const content = Buffer.from('SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0')
      const length = Buffer.alloc(4)
      length.writeInt32BE(content.length + 4)
      client.end(Buffer.concat([Buffer.from('E'), length, content]))
    })
  }
}
