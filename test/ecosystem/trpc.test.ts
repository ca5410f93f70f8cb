import websocket from '@fastify/websocket'
import { createTRPCClient, createWSClient, httpBatchLink, httpBatchStreamLink, httpLink, httpSubscriptionLink, wsLink, type TRPCLink } from '@trpc/client'
import { TRPCError } from '@trpc/server'
import { fastifyTRPCPlugin, type FastifyTRPCPluginOptions } from '@trpc/server/adapters/fastify'
import { EventSource } from 'eventsource'
import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { procedure as ofItsOwn, t as trpc } from './recipes/trpc.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const text = (input: unknown) => String(input)

/** Procedures as they come, in the unit of work of their request, or each in one of its own. */
function routerOf (procedure: typeof trpc.procedure) {
  return trpc.router({
    add: procedure.input(text).mutation(async ({ input }) => {
      const item = db.session.create(Item, { label: input })
      await db.session.flush()
      return item.id
    }),
    refuse: procedure.input(text).mutation(async ({ input }) => {
      await db.session.insert(Item, { label: input })
      throw new TRPCError({ code: 'CONFLICT', message: 'not you' })
    }),
    labels: procedure.query(async () => (await db.session.find(Item, {}, { orderBy: { id: 'asc' } })).map(({ label }) => label)),
    watch: procedure.subscription(async function * () {
      yield await db.run(async session => await session.count(Item))
      yield 'and so on'
    })
  })
}

const inRequest = routerOf(trpc.procedure)
const inRun = routerOf(ofItsOwn)
type Router = typeof inRequest

async function register (app: FastifyInstance, router: Router): Promise<void> {
  await app.register(websocket)
  await app.register(fastifyTRPCPlugin, { prefix: '/trpc', useWSS: true, trpcOptions: { router } } as FastifyTRPCPluginOptions<Router>)
}

const LINKS: Record<string, (url: string) => TRPCLink<Router>> = {
  'one by one': url => httpLink({ url }),
  'in a batch': url => httpBatchLink({ url }),
  'in a stream': url => httpBatchStreamLink({ url })
}

for (const [how, link] of Object.entries(LINKS)) {
  onEachDatabase(`calls that are units of work of their own, ${how}`, automatic, async (t, { app, labels, listen }) => {
    await register(app, inRun)
    const { origin } = await listen()
    const client = createTRPCClient<Router>({ links: [link(`${origin}/trpc`)] })
    const [one, refused, two] = await Promise.allSettled([client.add.mutate('one'), client.refuse.mutate('no'), client.add.mutate('two')])
    t.match([one, two], [{ value: Number }, { value: Number }])
    t.match(refused, { reason: { message: 'not you', data: { httpStatus: 409 } } })
    t.same(await labels(), ['one', 'two'])
    t.same((await client.labels.query()).sort(), ['one', 'two'])
    const twice = await client.add.mutate('one').catch((error: unknown) => JSON.stringify(error))
    t.match(twice, /Internal server error/)
    t.notMatch(twice, /unique|insert/i, 'clients read nothing of the database in errors')
  })
}

onEachDatabase('calls one by one are units of work of their requests: what is refused is rolled back', automatic, async (t, { app, labels, listen }) => {
  await register(app, inRequest)
  const { origin } = await listen()
  const client = createTRPCClient<Router>({ links: [httpLink({ url: `${origin}/trpc` })] })
  await t.rejects(client.refuse.mutate('no'), { message: 'not you' })
  t.type(await client.add.mutate('one'), 'number')
  t.same(await labels(), ['one'])
})

onEachDatabase('a batch is one request: where one call fails, its 207 commits what all have written', automatic, async (t, { app, labels, listen }) => {
  await register(app, inRequest)
  const { origin } = await listen()
  const client = createTRPCClient<Router>({ links: [httpBatchLink({ url: `${origin}/trpc` })] })
  const [one, refused] = await Promise.allSettled([client.add.mutate('one'), client.refuse.mutate('no')])
  t.match([one.status, refused.status], ['fulfilled', 'rejected'])
  t.same(await labels(), ['no', 'one'])
  t.same((await Promise.allSettled([client.refuse.mutate('a'), client.refuse.mutate('b')])).map(({ status }) => status), ['rejected', 'rejected'])
  t.same(await labels(), ['no', 'one'], 'all have failed: 409')
})

onEachDatabase('a stream has begun before its calls are done: they write nothing, and are told so', automatic, async (t, { app, labels, listen, logs }) => {
  await register(app, inRequest)
  const { origin } = await listen()
  const client = createTRPCClient<Router>({ links: [httpBatchStreamLink({ url: `${origin}/trpc` })] })
  const results = await Promise.allSettled([client.add.mutate('one'), client.add.mutate('two')])
  t.same(results.map(({ status }) => status), ['rejected', 'rejected'])
  t.match(logs.filter(({ level }) => level >= 50), [{ msg: /^a streamed reply was broken off/ }, { unflushed: { Item: 1 } }])
  t.same(await labels(), [])
})

onEachDatabase('calls and subscriptions over a socket', automatic, async (t, { app, labels, listen, assertClean }) => {
  await register(app, inRun)
  const { origin } = await listen()
  const socket = createWSClient({ url: `${origin.replace('http', 'ws')}/trpc`, WebSocket: WebSocket as never })
  const client = createTRPCClient<Router>({ links: [wsLink({ client: socket })] })
  const results = await Promise.allSettled([client.add.mutate('one'), client.refuse.mutate('no'), client.add.mutate('two')])
  t.same(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled'])
  const seen: unknown[] = []
  const subscription = client.watch.subscribe(undefined, { onData: data => seen.push(data), onError: error => { throw error } })
  while (seen.length < 2) await sleep(5)
  t.same(seen, [2, 'and so on'])
  await assertClean()
  t.same(await labels(), ['one', 'two'])
  subscription.unsubscribe()
  await socket.close()
})

onEachDatabase('subscriptions by server-sent events', automatic, async (t, { app, listen, assertClean }) => {
  await register(app, inRun)
  const { origin } = await listen()
  const client = createTRPCClient<Router>({ links: [httpSubscriptionLink({ url: `${origin}/trpc`, EventSource: EventSource as never })] })
  const seen: unknown[] = []
  const subscription = client.watch.subscribe(undefined, { onData: data => seen.push(data), onError: error => { throw error } })
  while (seen.length < 2) await sleep(5)
  t.same(seen.slice(0, 2), [0, 'and so on'])
  subscription.unsubscribe()
  await assertClean()
})

onEachDatabase('a socket has no session of its own', automatic, async (t, { app, labels, listen }) => {
  await register(app, inRequest)
  const { origin } = await listen()
  const socket = createWSClient({ url: `${origin.replace('http', 'ws')}/trpc`, WebSocket: WebSocket as never })
  const client = createTRPCClient<Router>({ links: [wsLink({ client: socket })] })
  await t.rejects(client.add.mutate('one'), { message: 'Internal server error' })
  t.same(await labels(), [])
  await socket.close()
})
