import { startRelay, type Relay } from './relay.ts'

/** What a proxy does with the statement that a client sends: passes it on, and perhaps cuts the connection. */
export type Reaction = 'cut before' | 'cut after' | undefined

/** A proxy between a MySQL driver and its server, whose connections a test can cut at a statement. */
export interface Proxy extends Relay {
  /** Asked about every statement that passes: its text. */
  react: (sql: string) => Reaction
}

const COM_QUERY = 3

/** Starts a proxy to the server at `target`. */
export async function startProxy (target: string): Promise<Proxy> {
  const relay = await startRelay(target, (client, upstream) => {
    upstream.on('data', data => client.write(data))
    client.on('data', data => {
      const reaction = data[4] === COM_QUERY ? proxy.react(data.subarray(5).toString()) : undefined
      if (reaction === 'cut before') { client.destroy(); return }
      upstream.write(data)
      // The answer is dropped, so that what was asked for is done when the client learns of the cut.
      if (reaction === 'cut after') upstream.removeAllListeners('data').once('data', () => client.destroy())
    })
  })
  const proxy: Proxy = { ...relay, react: () => undefined }
  return proxy
}
