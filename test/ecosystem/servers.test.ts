/** The servers that Fastify can be, with Node's own clients. HTTP/1.1 and HTTP/2 without TLS are what test/endings runs on. */
import { once } from 'node:events'
import { connect } from 'node:http2'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { generate } from 'selfsigned'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }])

const SERVERS = {
  HTTPS: {
    fastify: { https: { key, cert } },
    async ask (port: number, path: string) {
      const outgoing = request({ port, path, host: '127.0.0.1', method: 'POST', ca: cert, checkServerIdentity: () => undefined }).end()
      const [incoming] = await once(outgoing, 'response') as [{ statusCode: number, resume: () => void }]
      incoming.resume()
      return incoming.statusCode
    }
  },
  'HTTP/2 with TLS': {
    fastify: { http2: true, https: { key, cert } },
    async ask (port: number, path: string) {
      const session = connect(`https://127.0.0.1:${port}`, { ca: cert, checkServerIdentity: () => undefined })
      const stream = session.request({ ':method': 'POST', ':path': path }).end()
      const [headers] = await once(stream, 'response') as [{ ':status': number }]
      stream.resume()
      await once(stream, 'end')
      session.close()
      return headers[':status']
    }
  },
  'HTTPS for clients of HTTP/2 and of HTTP/1.1': {
    fastify: { http2: true, https: { key, cert, allowHTTP1: true } },
    ask: async (port: number, path: string): Promise<number> => await SERVERS.HTTPS.ask(port, path)
  }
}

for (const [name, { fastify, ask }] of Object.entries(SERVERS)) {
  onEachDatabase(`${name}: committed, or rolled back`, { plugin: { commitOnTeardown: true }, fastify: fastify as object }, async (t, { app, labels, listen }) => {
    app.post('/:status', async (request, reply) => {
      const { status } = request.params as { status: string }
      await db.session.insert(Item, { label: `answered ${status}` })
      return await reply.code(Number(status)).send({ status })
    })
    await listen()
    const { port } = app.server.address() as AddressInfo
    for (const status of [201, 303, 409, 500]) t.equal(await ask(port, `/${status}`), status)
    t.same(await labels(), ['answered 201', 'answered 303'])
  })
}
