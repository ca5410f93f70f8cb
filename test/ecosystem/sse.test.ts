/** Server-sent events, by both packages that there are for them, and a client that reconnects as browsers do. */
import sse from '@fastify/sse'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import { EventSource } from 'eventsource'
import { FastifySSEPlugin as sseV2 } from 'fastify-sse-v2'
import { once } from 'node:events'
import { db } from '../../plugin.ts'
import { rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const insert = async (label: string) => await db.session.insert(Item, { label })

/** Both packages declare a `reply.sse` of their own. */
type Sse = (event: { data: string }) => unknown

const PACKAGES = {
  '@fastify/sse': {
    plugin: sse,
    isHijacked: false, // what fails goes through Fastify's error reply, which breaks the connection off
    route: { sse: { kind: 'only' as const, heartbeat: false } },
    send: async (reply: FastifyReply, data: string) => {
      const { sse } = reply as unknown as { sse: { send: Sse, keepAlive: () => void } }
      sse.keepAlive()
      await sse.send({ data })
    }
  },
  'fastify-sse-v2': {
    plugin: sseV2,
    isHijacked: true,
    route: {},
    send: async (reply: FastifyReply, data: string) => { (reply as unknown as { sse: Sse }).sse({ data }) }
  }
}

const said = async (events: EventSource) => {
  const [{ data }] = await once(events, 'message') as [{ data: string }]
  return data.replaceAll('"', '')
}

for (const [name, { plugin, isHijacked, route, send }] of Object.entries(PACKAGES)) {
  onEachDatabase(`${name}: what a handler writes is committed at its end, while its events go on`, automatic, async (t, { app, labels, listen, assertClean }) => {
    await app.register(plugin as FastifyPluginAsync)
    const { promise: later, resolve: goOn } = Promise.withResolvers<void>()
    app.get('/', route, async (_request, reply) => {
      await insert('before the first event')
      await send(reply, 'first')
      await insert('after it')
      void later.then(async () => {
        await db.run(async () => await insert('by itself'))
        await send(reply, 'second')
      })
    })
    const { origin } = await listen()
    const events = new EventSource(origin)
    t.equal(await said(events), 'first')
    await assertClean()
    t.same(await labels(), ['after it', 'before the first event'])
    goOn()
    t.equal(await said(events), 'second')
    t.same(await labels(), ['after it', 'before the first event', 'by itself'])
    events.close()
  })

  onEachDatabase(`${name}: what counts is committed before the first event, by hand`, automatic, async (t, { app, labels, listen }) => {
    await app.register(plugin as FastifyPluginAsync)
    const { promise: held, resolve: end } = Promise.withResolvers<void>()
    app.get('/', route, async (_request, reply) => {
      await insert('order')
      await db.commit()
      await send(reply, 'accepted')
      await held
    })
    const { origin } = await listen()
    const events = new EventSource(origin)
    t.equal(await said(events), 'accepted')
    t.same(await labels(), ['order'])
    end()
    events.close()
  })

  onEachDatabase(`${name}: a handler that fails before its first event is an error reply, and rolled back`, automatic, async (t, { app, labels, listen }) => {
    await app.register(plugin as FastifyPluginAsync)
    app.get('/', route, async () => {
      await insert('order')
      throw Object.assign(new Error('no'), { statusCode: 409 })
    })
    const { origin } = await listen()
    t.equal((await fetch(origin, { headers: { accept: 'text/event-stream' } })).status, 409)
    t.same(await labels(), [])
  })

  onEachDatabase(`${name}: a handler that fails after its first event is rolled back, and the log says so`, automatic, async (t, { app, labels, logs, listen, assertClean }) => {
    await app.register(plugin as FastifyPluginAsync)
    const { promise: seen, resolve: see } = Promise.withResolvers<void>()
    app.get('/', route, async (_request, reply) => {
      await insert('order')
      await send(reply, 'begun')
      await seen
      throw new Error('no')
    })
    const { port } = await listen()
    const client = await rawClient(port, ['GET / HTTP/1.1', 'Host: localhost', 'Accept: text/event-stream', '', ''])
    await client.until('begun')
    see()
    await assertClean()
    client.leave()
    t.same(await labels(), [])
    t.ok(logs.some(({ level, err }) => level >= 40 && (err as { message?: string } | undefined)?.message === 'no'))
    t.match(logs.filter(({ outcome }) => outcome !== undefined), isHijacked ? [{ level: 40, outcome: 'rollback', reason: 'an error was thrown or sent' }] : [])
  })

  onEachDatabase(`${name}: clients that leave leave nothing behind`, automatic, async (t, { app, labels, listen, assertClean }) => {
    await app.register(plugin as FastifyPluginAsync)
    const { promise: left, resolve: leave } = Promise.withResolvers<void>()
    app.get('/', route, async (request, reply) => {
      request.raw.once('close', leave)
      await insert('before')
      await send(reply, 'first')
      await left
      await insert('after')
    })
    const { origin } = await listen()
    const events = new EventSource(origin)
    t.equal(await said(events), 'first')
    events.close()
    await assertClean()
    t.same(await labels(), ['after', 'before'])
  })
}
