import { db } from '../../plugin.ts'
import { post } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('client gone after hijack, and after the handler', automatic, async (t, { app, labels, listen, assertClean }) => {
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'hijacked' })
    await request.db.flush()
    reply.hijack()
    reply.raw.write('first part')
  })
  const { port } = await listen()
  const client = await post(port, '/')
  await client.until('first part')
  client.leave()
  await assertClean()
  t.same(await labels(), ['hijacked'])
})

onEachDatabase('hijacked replies are completed by the same rule at their end', automatic, async (t, { app, labels, listen, assertClean, logs }) => {
  app.post('/ok', async (request, reply) => {
    request.db.create(Item, { label: 'ok' })
    reply.hijack()
    reply.raw.end('done')
  })
  app.post('/error', async (request, reply) => {
    request.db.create(Item, { label: 'error' })
    reply.hijack()
    reply.raw.writeHead(500).end('failed')
  })
  app.post('/early', async (request, reply) => {
    request.db.create(Item, { label: 'early' })
    await db.commit()
    t.same((await labels()).includes('early'), true, 'committed before the first byte')
    reply.hijack()
    reply.raw.end('done')
  })
  app.post('/failing', async (request, reply) => {
    request.db.create(Item, { label: 'ok' })
    reply.hijack()
    reply.raw.end('done')
  })
  const { origin } = await listen()
  for (const path of ['/ok', '/error', '/early', '/failing']) {
    await (await fetch(origin + path, { method: 'POST' })).text()
    await assertClean()
  }
  t.same(await labels(), ['early', 'ok'])
  t.match(logs.filter(line => line.msg === 'the commit of a request failed after its reply had begun'), [{ err: { message: /./ } }])
})
