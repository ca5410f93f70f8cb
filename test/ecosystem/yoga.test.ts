import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GraphQLError } from 'graphql'
import { createSchema, createYoga } from 'graphql-yoga'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { rollbackOnErrors } from './recipes/yoga.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const schema = createSchema<{ req: FastifyRequest, reply: FastifyReply }>({
  typeDefs: `
    type Item { id: Int!, label: String! }
    type Query { items: [Item!]!, session: String! }
    type Mutation { add (label: String!): Item!, addMaybe (label: String!): Item, refuse: String }
    type Subscription { counted: Int! }
  `,
  resolvers: {
    Query: {
      items: async () => await db.session.find(Item, {}, { orderBy: { id: 'asc' } }),
      session: () => String(db.session.id)
    },
    Mutation: {
      add,
      addMaybe: add,
      refuse () { throw new GraphQLError('not you') }
    },
    Subscription: {
      counted: {
        async * subscribe () {
          yield { counted: await db.session.count(Item) }
          yield { counted: await db.run(async session => await session.count(Item)) }
        }
      }
    }
  }
})

async function add (_root: unknown, { label }: { label: string }) {
  const item = db.session.create(Item, { label })
  await db.session.flush() // has its id now: GraphQL reads it before the request ends
  return item
}

function register (app: FastifyInstance, plugins = [rollbackOnErrors]): void {
  const yoga = createYoga<{ req: FastifyRequest, reply: FastifyReply }>({ schema, plugins, batching: true, logging: false })
  // As its documentation has it.
  app.route({
    url: yoga.graphqlEndpoint,
    method: ['GET', 'POST', 'OPTIONS'],
    handler: async (req, reply) => await yoga.handleNodeRequestAndResponse(req, reply, { req, reply })
  })
}

const ask = async (app: FastifyInstance, payload: object | object[]) => {
  const reply = await app.inject({ method: 'POST', url: '/graphql', payload })
  return { status: reply.statusCode, body: reply.json<{ data?: unknown, errors?: { message: string }[] }>() }
}

onEachDatabase('mutations and parallel resolvers are one unit of work', automatic, async (t, { app, labels }) => {
  register(app)
  t.match(await ask(app, { query: 'mutation { a: add(label: "one") { id } b: add(label: "two") { id label } }' }), { status: 200, body: { data: { a: { id: 1 }, b: { id: 2, label: 'two' } } } })
  t.same(await labels(), ['one', 'two'])
  const { a, b } = (await ask(app, { query: '{ a: session b: session items { label } }' })).body.data as { a: string, b: string }
  t.equal(a, b)
})

onEachDatabase('one resolver of several fails: nothing of the request stays', automatic, async (t, { app, labels }) => {
  register(app)
  t.match(await ask(app, { query: 'mutation { a: add(label: "one") { label } refuse }' }), { status: 200, body: { data: { a: { label: 'one' }, refuse: null }, errors: [{ message: 'not you' }] } })
  t.match(await ask(app, [{ query: 'mutation { add(label: "one") { label } }' }, { query: 'mutation { refuse }' }]), { status: 200, body: [{ data: { add: { label: 'one' } } }, { errors: [{ message: 'not you' }] }] })
  t.same(await labels(), [])
})

onEachDatabase('without the plugin a 200 with errors is a 200: the rest is committed', automatic, async (t, { app, labels }) => {
  register(app, [])
  t.equal((await ask(app, { query: 'mutation { a: add(label: "one") { label } refuse }' })).status, 200)
  t.same(await labels(), ['one'])
})

onEachDatabase('clients read nothing of the database in errors', automatic, async (t, { app, labels }) => {
  register(app)
  await ask(app, { query: 'mutation { add(label: "one") { label } }' })
  const twice = await ask(app, { query: 'mutation { addMaybe(label: "one") { label } }' })
  t.match(twice.body.errors, [{ message: 'Unexpected error.' }])
  t.notMatch(JSON.stringify(twice), /unique|insert/i)
  t.same(await labels(), ['one'])
})

onEachDatabase('subscriptions by server-sent events read, and go on with db.run()', automatic, async (t, { app, listen, assertClean }) => {
  register(app)
  const { origin } = await listen()
  const reply = await fetch(`${origin}/graphql?query=${encodeURIComponent('subscription { counted }')}`, { headers: { accept: 'text/event-stream' } })
  t.match(await reply.text(), /"counted":0[^]*"counted":0/)
  await assertClean()
})
