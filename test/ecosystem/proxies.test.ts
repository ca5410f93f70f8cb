/** Applications that pass requests on to another one: what that answers decides here as well. */
import httpProxy from '@fastify/http-proxy'
import replyFrom from '@fastify/reply-from'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { openSocket } from './clients.ts'

const automatic = { plugin: { commitOnTeardown: true } }

/** Answers with the status that it is asked for; 0 breaks off. */
async function upstream (t: { teardown: (end: () => unknown) => void }): Promise<string> {
  const app = Fastify()
  app.post('/:status', async (request, reply) => {
    const status = Number((request.params as { status: string }).status)
    if (status === 0) return reply.raw.destroy()
    return await reply.code(status).send({ body: request.body })
  })
  t.teardown(async () => { await app.close() })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

const write = async (label: string) => await db.session.insert(Item, { label })

onEachDatabase('@fastify/reply-from: what a handler has written before it passes the request on', automatic, async (t, { app, labels, listen }) => {
  await app.register(replyFrom, { base: await upstream(t) })
  app.post('/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    await write(`before ${status}`)
    return reply.from(`/${status}`)
  })
  const { origin } = await listen()
  const statuses: number[] = []
  for (const status of [201, 303, 404, 500, 0]) statuses.push((await fetch(`${origin}/${status}`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' }, redirect: 'manual' })).status)
  t.match(statuses, [201, 303, 404, 500, 500])
  t.same(await labels(), ['before 201', 'before 303'])
})

onEachDatabase('@fastify/http-proxy: what a hook has written', automatic, async (t, { app, labels, listen }) => {
  await app.register(httpProxy, {
    upstream: await upstream(t),
    preHandler: (request, _reply, done) => { void write(`before ${request.url}`).then(() => { done() }, done) }
  })
  const { origin } = await listen()
  const statuses: number[] = []
  for (const status of [200, 409, 0]) statuses.push((await fetch(`${origin}/${status}`, { method: 'POST', body: 'text', headers: { 'content-type': 'text/plain' } })).status)
  t.match(statuses, [200, 409, 500])
  t.same(await labels(), ['before /200'])
})

onEachDatabase('@fastify/http-proxy: sockets, of which nobody sees the end', automatic, async (t, { app, labels, listen, assertClean }) => {
  const upstream = Fastify()
  await upstream.register(websocket)
  upstream.get('/*', { websocket: true }, socket => { socket.send('hello') })
  t.teardown(async () => { await upstream.close() })
  await app.register(httpProxy, {
    upstream: await upstream.listen({ port: 0, host: '127.0.0.1' }),
    websocket: true,
    preHandler: (request, _reply, done) => {
      void write(request.url).then(async () => { if (request.url === '/committed') await db.commit() }).then(() => { done() }, done)
    }
  })
  const { origin } = await listen()
  for (const path of ['/committed', '/left']) {
    const socket = await openSocket(origin, path)
    t.equal(await socket.next(), 'hello')
    t.same(await labels(), ['/committed'])
    socket.leave()
    await assertClean()
  }
  t.same(await labels(), ['/committed'])
})
