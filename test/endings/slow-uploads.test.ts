/** Requests whose body takes its time, and what their hooks have done meanwhile. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { db } from '../../plugin.ts'
import { servers } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

/** Sends a head, and the beginning of a body. */
async function upload (port: number, method: string, url: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`${method} ${url} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{`)
  return socket
}

const READS: Record<string, () => Promise<unknown>> = {
  find: async () => await db.session.find(Item, {}),
  execute: async () => await db.session.execute('select label from item'),
  stream: async () => { for await (const item of db.session.stream(Item, {})) item.label.at(0) }
}

for (const hook of ['onRequest', 'preParsing'] as const) {
  onEachDatabase(`what ${hook} reads holds no connection while the body comes`, { plugin: { commitOnTeardown: true, acquireTimeout: 1_000 }, orm: { pool: { max: 1 } } }, async (t, { app, listen, labels }) => {
    let hasRead = new Gate()
    app.addHook(hook as 'onRequest', async request => {
      const read = READS[new URLSearchParams(request.url.slice(2)).get('by') ?? '']
      if (read === undefined) return
      await read()
      hasRead.open()
    })
    app.route({
      method: ['POST', 'PUT', 'PATCH', 'DELETE'],
      url: '/',
      handler: async request => {
        request.db.create(Item, { label: request.url, amount: request.method.length })
      }
    })
    const { port } = await listen()
    let written = 0
    for (const by of Object.keys(READS)) {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        hasRead = new Gate()
        const socket = await upload(port, method, `/?by=${by}&${method}`)
        await hasRead.opened
        t.equal(await app.db.run(async session => await session.count(Item)), written++, `the connection is free: ${method}, ${by}`)
        socket.write('"a": "bcd"}')
        t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1.1 200/)
        socket.destroy()
      }
    }
    t.equal((await labels()).length, written)
  })
}

const log: string[] = []

onEachDatabase('what a hook writes before the body comes is in the transaction, and so is what it reads where that was asked for', {
  plugin: { commitOnTeardown: true }, kinds: servers, orm: { debug: ['query'], colors: false, logger: line => { log.push(/\b(begin|start|select|insert|commit|rollback)\b/.exec(line)?.[0].replace('start', 'begin') ?? line) } }
}, async (t, { app, labels }) => {
  app.addHook('onRequest', async request => {
    if (request.url === '/writes') await request.db.insert(Item, { label: 'of the hook', amount: 0 })
    else await request.db.find(Item, {})
  })
  const read = async () => { await db.session.find(Item, {}) }
  app.post('/', read)
  app.post('/writes', async (_request, reply) => await reply.code(409).send())
  app.post('/serializable', { config: { db: { isolationLevel: 'serializable' } } }, read)
  app.post('/statement', { config: { db: { begin: 'statement' } } }, read)
  await app.db.run(read)
  for (const [url, statements] of Object.entries({
    '/': 'select begin select commit',
    '/writes': 'begin insert rollback',
    '/serializable': 'begin select select commit',
    '/statement': 'begin select select commit'
  })) {
    log.length = 0
    await app.inject({ method: 'POST', url })
    t.equal(log.filter(line => !line.startsWith('[query] set transaction')).join(' '), statements, url)
  }
  t.same(await labels(), [])
})
