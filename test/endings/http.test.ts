/** What HTTP adds: keep-alive, HEAD and HTTP/2. */
import Fastify from 'fastify'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('keep-alive and pipelined requests have a session each', automatic, async (t, { app, labels, listen, assertClean }) => {
  const sessions = new Set<unknown>()
  app.post('/:label', async request => {
    sessions.add(request.db)
    const { label } = request.params as { label: string }
    request.db.create(Item, { label })
    if (label === 'b') throw new Error('only this one')
    return label
  })
  const { port } = await listen()
  const client = await rawClient(port, ['a', 'b', 'c'].flatMap(label => [`POST /${label} HTTP/1.1`, 'Host: localhost', 'Content-Length: 0', '', '']).slice(0, -1).concat(''))
  while ((client.received().match(/HTTP\/1\.1/g) ?? []).length < 3) await once(client.socket, 'data')
  client.leave()
  t.equal(sessions.size, 3)
  await assertClean()
  t.same(await labels(), ['a', 'c'])
})

onEachDatabase('HEAD is answered like GET', automatic, async (t, { app, listen, assertClean }) => {
  app.get('/', async request => await request.db.count(Item).then(String))
  const { origin } = await listen()
  t.equal((await fetch(origin, { method: 'HEAD' })).status, 200)
  await assertClean()
})

onEachDatabase('HTTP/2: replies, errors and streams that are reset', automatic, async (t, { orm, labels, database }) => {
  const app = Fastify({ http2: true })
  const arrived = new Gate()
  const gone = new Gate()
  await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'http2' })
  app.post('/ok', async request => request.db.create(Item, { label: 'ok' }))
  app.post('/error', async request => {
    request.db.create(Item, { label: 'error' })
    await request.db.flush()
    throw new Error('error')
  })
  app.post('/reset', async request => {
    request.db.create(Item, { label: 'reset' })
    await request.db.flush()
    request.raw.once('close', () => gone.open())
    arrived.open()
    await gone.opened
    await sleep(10)
    return request.db.create(Item, { label: 'reset, later' })
  })
  const lateArrived = new Gate()
  app.post('/late', async request => {
    lateArrived.open()
    await once(request.raw, 'close')
    await sleep(20)
    return request.db.create(Item, { label: 'late session' })
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const client = connectHttp2(origin)
  for (const [path, status] of [['/ok', 200], ['/error', 500]] as const) {
    const stream = client.request({ ':method': 'POST', ':path': path })
    stream.end()
    const [headers] = await once(stream, 'response') as [Record<string, unknown>]
    t.equal(headers[':status'], status)
    stream.resume()
    await once(stream, 'close')
  }
  const late = client.request({ ':method': 'POST', ':path': '/late' })
  late.on('error', () => {})
  late.end()
  await lateArrived.opened
  late.close(8)
  const stream = client.request({ ':method': 'POST', ':path': '/reset' })
  stream.on('error', () => {})
  stream.end()
  await arrived.opened
  stream.close(8)
  await gone.opened
  for (let attempt = 0; attempt < 500 && app.db.openScopes > 0; attempt++) await sleep(10)
  t.equal(app.db.openScopes, 0)
  t.same(await database.leftovers(orm), [])
  for (let attempt = 0; attempt < 100 && (await labels()).length < 4; attempt++) await sleep(10)
  t.same(await labels(), ['late session', 'ok', 'reset', 'reset, later'])
  t.equal(app.db.openScopes, 0)
  client.close()
  await app.close()
})
