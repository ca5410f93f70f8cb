import type { FastifyInstance } from 'fastify'
import { createClient } from 'graphql-ws'
import mercurius, { type IResolvers, type MercuriusOptions } from 'mercurius'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { errorFormatter, rollbackOnErrors } from './recipes/mercurius.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const schema = `
  type Item { id: Int!, label: String!, double: Int! }
  type Query { items: [Item!]!, session: String!, broken: String, missing: Item }
  type Mutation { add (label: String!): Item!, addMaybe (label: String!): Item, addLazily (label: String!): String, refuse: String }
  type Subscription { added: Item! }
`

const resolvers: IResolvers = {
  Query: {
    items: async () => await db.session.find(Item, {}, { orderBy: { id: 'asc' } }),
    session: () => String(db.session.id),
    broken: async () => await db.session.execute('select nothing from nowhere'),
    missing: async () => await db.getOr404(Item, 77)
  },
  Mutation: {
    add,
    addMaybe: add,
    addLazily (_root, { label }: { label: string }) {
      db.session.create(Item, { label })
      return label
    },
    refuse () { throw new mercurius.ErrorWithProps('not you') }
  },
  Subscription: {
    added: {
      // A socket has no session: what it reads or writes has one of its own.
      subscribe: async (_root, _args, { pubsub }) => await db.run(async session => {
        await session.insert(Item, { label: 'subscribed' })
        return await pubsub.subscribe('ADDED')
      })
    }
  }
}

async function add (_root: unknown, { label }: { label: string }) {
  const item = db.session.create(Item, { label })
  await db.session.flush() // has its id now: GraphQL reads it before the request ends
  return item
}

const loaders = {
  Item: {
    async double (queries: { obj: { id: number } }[]) {
      const items = await db.session.find(Item, queries.map(({ obj }) => obj.id))
      return queries.map(({ obj }) => items.some(({ id }) => id === obj.id) ? obj.id * 2 : -1)
    }
  }
}

async function register (app: FastifyInstance, options: Partial<MercuriusOptions> = {}): Promise<void> {
  await app.register(mercurius, { schema, resolvers, loaders, errorFormatter, allowBatchedQueries: true, ...options } as MercuriusOptions)
}

const ask = async (app: FastifyInstance, payload: object | object[]) => {
  const reply = await app.inject({ method: 'POST', url: '/graphql', payload })
  return { status: reply.statusCode, body: reply.json<{ data?: unknown, errors?: { message: string }[] }>() }
}

onEachDatabase('mutations, parallel resolvers and loaders are one unit of work', automatic, async (t, { app, labels }) => {
  await register(app, { context: () => ({ session: db.session.id }) })
  rollbackOnErrors(app)
  t.same(await ask(app, { query: 'mutation { a: add(label: "one") { id double } b: add(label: "two") { id label } }' }), { status: 200, body: { data: { a: { id: 1, double: 2 }, b: { id: 2, label: 'two' } } } })
  t.same(await labels(), ['one', 'two'])
  const { body } = await ask(app, { query: '{ a: session b: session items { label double } }' })
  const { a, b, items } = body.data as { a: string, b: string, items: unknown[] }
  t.equal(a, b)
  t.same(items, [{ label: 'one', double: 2 }, { label: 'two', double: 4 }])
})

onEachDatabase('one resolver of several fails: nothing of the request stays', automatic, async (t, { app, labels }) => {
  await register(app)
  rollbackOnErrors(app)
  const { status, body } = await ask(app, { query: 'mutation { a: add(label: "one") { label } refuse }' })
  t.match({ status, body }, { status: 200, body: { data: { a: { label: 'one' }, refuse: null }, errors: [{ message: 'not you' }] } })
  t.same(await labels(), [])
})

onEachDatabase('without the hook a 200 with errors is a 200: the rest is committed', automatic, async (t, { app, labels }) => {
  await register(app)
  t.equal((await ask(app, { query: 'mutation { a: add(label: "one") { label } refuse }' })).status, 200)
  t.same(await labels(), ['one'])
})

onEachDatabase('one operation of a batch fails: nothing of the batch stays', automatic, async (t, { app, labels }) => {
  await register(app)
  rollbackOnErrors(app)
  const add = { query: 'mutation { add(label: "one") { label } }' }
  t.match(await ask(app, [add, { query: 'mutation { refuse }' }]), { status: 200, body: [{ data: { add: { label: 'one' } } }, { errors: [{ message: 'not you' }] }] })
  t.same(await labels(), [])
  t.equal((await ask(app, [add, { query: '{ items { label } }' }])).status, 200)
  t.same(await labels(), ['one'])
})

onEachDatabase('clients read nothing of the database in errors', automatic, async (t, { app, labels, logs }) => {
  await register(app)
  rollbackOnErrors(app)
  await ask(app, { query: 'mutation { add(label: "one") { label } }' })

  const twice = await ask(app, { query: 'mutation { addMaybe(label: "one") { label } }' })
  t.match(twice, { body: { errors: [{ message: 'Internal server error' }] } })
  t.ok(logs.some(({ err }) => /unique/i.test((err as { stack?: string } | undefined)?.stack ?? '')), 'the log has it')
  const lazily = await ask(app, { query: 'mutation { addLazily(label: "one") }' })
  t.match(lazily, { body: { data: null, errors: [{ message: 'Internal server error' }] } })
  const broken = await ask(app, { query: '{ broken session }' })
  t.match(broken, { body: { data: { broken: null, session: /./ }, errors: [{ message: 'Internal server error' }] } })
  t.match(await ask(app, { query: '{ missing { label } }' }), { body: { errors: [{ message: 'Item not found' }] } })
  t.notMatch(JSON.stringify([twice, lazily, broken]), /unique|nowhere|insert|select/i)
  t.same(await labels(), ['one'])
})

onEachDatabase('a query that is refused has opened nothing', automatic, async (t, { app }) => {
  await register(app)
  rollbackOnErrors(app)
  const { status, body } = await ask(app, { query: '{ nothing }' })
  t.equal(status, 400)
  t.match(body.errors, [{ message: /Cannot query field/ }])
})

onEachDatabase('subscriptions, and mutations over a socket, with db.run()', automatic, async (t, { app, labels, listen, assertClean }) => {
  const runMutations: IResolvers = {
    ...resolvers,
    Mutation: {
      add: async (root, args: { label: string }, { pubsub }) => {
        const item = await db.run(async () => await add(root, args))
        await pubsub.publish({ topic: 'ADDED', payload: { added: item } })
        return item
      }
    }
  }
  await register(app, { resolvers: runMutations, subscription: { fullWsTransport: true } })
  rollbackOnErrors(app)
  const { origin } = await listen()
  const client = createClient({ url: `${origin.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket })
  const added = client.iterate({ query: 'subscription { added { id label } }' })
  const first = added.next()
  while ((await labels()).length === 0) await sleep(5)
  await assertClean()
  const mutation = client.iterate({ query: 'mutation { add(label: "one") { id } }' })
  t.same((await mutation.next()).value, { data: { add: { id: 2 } } })
  t.match(await first, { value: { data: { added: { id: 2, label: 'one' } } } })
  await assertClean()
  t.same(await labels(), ['one', 'subscribed'])
  t.match((await client.iterate({ query: 'mutation { add(label: "one") { id } }' }).next()).value, { errors: [{ message: 'Internal server error' }] })
  await client.dispose()
})

onEachDatabase('a subscription without db.run() writes nothing, and is told so', automatic, async (t, { app, labels, listen }) => {
  const codes: unknown[] = []
  const withoutRun: IResolvers = {
    Query: resolvers['Query'] ?? {},
    Subscription: {
      added: {
        subscribe: async (_root, _args, { pubsub }) => {
          const late = async () => await db.session.insert(Item, { label: 'late' })
          codes.push(await late().catch((error: { code: string }) => error.code))
          return await pubsub.subscribe('ADDED')
        }
      }
    }
  }
  await register(app, { resolvers: withoutRun, subscription: true })
  const { origin } = await listen()
  const client = createClient({ url: `${origin.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket })
  void client.iterate({ query: 'subscription { added { id } }' }).next().catch(() => {}) // until it is disposed of
  while (codes.length === 0) await sleep(5)
  t.same(codes, ['FST_SCOPED_DB_SCOPE_CLOSED'])
  t.same(await labels(), [])
  await client.dispose()
})
