/** Trailers, which Fastify asks for when the head of a reply, and all of its body, have gone out. */
import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachTransport } from '../support/transports.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const insert = async (label: string) => await db.session.insert(Item, { label, amount: 0 })

const WITH: Record<string, (reply: FastifyReply) => unknown> = {
  text: reply => reply.send('text'),
  nothing: reply => reply.send(),
  stream: reply => reply.send(Readable.from(['te', 'xt']))
}

onEachTransport('a reply with trailers is committed and sent', automatic, async (t, { app, labels, transport, assertClean }) => {
  for (const [what, send] of Object.entries(WITH)) {
    app.post(`/${what}`, async (_request, reply) => {
      await insert(what)
      return await send(reply.trailer('x-late', async () => 'yes'))
    })
  }
  for (const what of Object.keys(WITH)) t.match(await transport.request('POST', `/${what}`), { status: 200, body: what === 'nothing' ? '' : 'text', headers: { trailer: 'x-late' } }, what)
  await assertClean()
  t.same(await labels(), Object.keys(WITH).sort())
})

onEachTransport('a trailer that throws breaks the reply off, whatever has been done to the database', automatic, async (t, { app, logs, transport, assertClean }) => {
  const uses: Record<string, () => Promise<unknown>> = {
    reads: async () => await db.session.count(Item),
    writes: async () => await insert('written'),
    dooms: async () => { await insert('doomed'); db.setRollbackOnly() }
  }
  for (const [how, use] of Object.entries(uses)) {
    app.post(`/${how}`, async (_request, reply) => {
      await use()
      return await reply.trailer('x-late', () => { throw new Error('no trailer') }).send('text')
    })
  }
  for (const how of Object.keys(uses)) {
    logs.length = 0
    const { body } = await transport.request('POST', `/${how}`)
    t.not(body, 'no trailer', how)
    await assertClean()
    const errors = logs.filter(({ level }) => level >= 50)
    t.equal(errors.length, 1, how)
    t.match(errors, [{ err: { message: 'no trailer' }, msg: 'a reply failed behind its head and was broken off' }], how)
  }
})

onEachTransport('a reply that has no body is committed with its trailers, or not at all', automatic, async (t, { app, labels, transport, assertClean }) => {
  app.post('/:code/:payload', async (request, reply) => {
    const { code, payload } = request.params as { code: string, payload: string }
    await insert(`${code} ${payload}`)
    return await reply.code(Number(code)).trailer('x-late', async () => 'yes').send(payload === 'nothing' ? undefined : payload)
  })
  for (const code of [204, 304]) {
    for (const payload of ['nothing', 'text']) {
      const { status } = await transport.request('POST', `/${code}/${payload}`)
      t.equal(status, transport.name === 'HTTP/2' ? code : 500)
      await assertClean()
      t.equal((await labels()).includes(`${code} ${payload}`), status === code, `${code} ${payload}`)
    }
  }
})
