/** Runs the examples of docs/recipes that need more packages than the repository has. */
import { createTRPCClient, httpBatchLink, httpLink } from '@trpc/client'
import type { AnyRouter } from '@trpc/server'
import { on, once } from 'node:events'
import t, { type Test } from 'tap'
import type {} from '../plugin.ts'
import { check, typeErrors, type Example } from '../test/support/doc-modules.ts'
import { fencesOf, PAGES } from '../test/support/fences.ts'
import { folderWithPackages } from './folder.ts'

const examples = PAGES.flatMap(fencesOf).filter(({ name, needs }) => name !== undefined && needs === 'recipes')
const ada = { name: 'Ada', email: 'ada@example.com' }

const names = async ({ orm }: Example) =>
  (await orm.em.fork().getConnection().execute('select name from user order by name') as { name: string }[]).map(({ name }) => name)

/** What the documentation says of each example, by its name. */
const claims: Record<string, (t: Test, example: Example) => Promise<void>> = {
  async graphql (t, example) {
    const { app, logs } = example
    const ask = async (query: string) => {
      const { statusCode, body } = await app.inject({ method: 'POST', url: '/graphql', payload: { query } })
      return { statusCode, ...JSON.parse(body) as object }
    }
    const add = (name: string, email: string) => `addUser(name: "${name}", email: "${email}") { id name }`
    t.same(await ask(`mutation { ${add('Ada', 'a')} }`), { statusCode: 200, data: { addUser: { id: 1, name: 'Ada' } } })
    const failed = await ask(`mutation { first: ${add('Bob', 'b')} second: ${add('Eve', 'a')} }`)
    t.match(failed, { data: null, errors: [{ message: 'Internal server error' }] })
    t.notMatch(JSON.stringify(failed), 'user.email')
    t.match(logs.join(''), 'user.email')
    t.same(await names(example), ['Ada'], 'not the first of them either')
    t.match(await ask(`mutation { ${add('Eve', 'b')} }`), { data: { addUser: { name: 'Eve' } } })
    t.match(await ask('mutation { changeEmail(id: 1, email: "b") { name } }'), { data: null, errors: [{ message: 'Internal server error' }] })
    const nobody = await ask('mutation { changeEmail(id: 77, email: "c") { name } }')
    t.match(nobody, { errors: [{ message: 'Internal server error' }] })
    t.notMatch(JSON.stringify(nobody), '77')
    t.match(await ask('mutation { changeEmail(id: 1, email: "c") { name } }'), { data: { changeEmail: { name: 'Ada' } } })
    t.match(await ask('{ users { name } }'), { data: { users: [{ name: 'Ada' }] } })
    t.match(await ask('{ nobody }'), { statusCode: 400, errors: [{ message: 'Cannot query field "nobody" on type "Query".' }] })
  },
  async trpc (t, example) {
    const { app, logs } = example
    const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/trpc`
    const client = (link: typeof httpLink | typeof httpBatchLink) => createTRPCClient<AnyRouter>({ links: [link({ url })] }) as unknown as Client
    const { users, addUser } = client(httpLink)
    t.match(await addUser.mutate(ada), { id: 1, name: 'Ada' })
    await t.rejects(addUser.mutate(ada), { message: 'Internal server error' })
    t.match(logs.join(''), 'user.email')
    await t.rejects(addUser.mutate({ name: 'Eve' }), { message: 'Internal server error' })
    for (const payload of [ada, { name: 'Eve' }]) t.notMatch((await app.inject({ method: 'POST', url: '/trpc/addUser', payload })).body, /user\.email|insert|stack|Eve/i)
    await t.rejects(client(httpLink).nobody.query(), { message: 'No procedure found on path "nobody"' })
    t.match(await users.query(), [{ name: 'Ada' }])
    t.same(await names(example), ['Ada'])
    const batching = client(httpBatchLink)
    const answers = await Promise.allSettled([batching.addUser.mutate({ name: 'Bob', email: 'b' }), batching.addUser.mutate({ name: 'Eve', email: 'ada@example.com' })])
    t.same(answers.map(({ status }) => status), ['fulfilled', 'rejected'])
    t.same(await names(example), ['Ada', 'Bob'], 'each answer of a batch is true')
  },
  async websocket (t, example) {
    const { app } = example
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    const open = () => {
      const socket = new WebSocket(`${origin.replace('http', 'ws')}/chat`)
      const messages = on(socket as unknown as NodeJS.EventEmitter, 'message')
      return { socket, next: async () => ((await messages.next()).value as [MessageEvent])[0].data as string }
    }
    const [one, two] = [open(), open()]
    t.same([await one.next(), await two.next()], ['0 users', '0 users'])
    one.socket.send('Ada')
    t.same([await one.next(), await two.next()], ['welcome, Ada', 'welcome, Ada'])
    t.equal(app.db.openScopes, 0)
    two.socket.send('Ada')
    t.equal(await two.next(), 'try again')
    t.same(await names(example), ['Ada'])
    for (const { socket } of [one, two]) {
      socket.close()
      await once(socket as unknown as NodeJS.EventEmitter, 'close')
    }
  },
  async 'prom-client' (t, { app }) {
    const { body } = await app.inject('/metrics')
    t.match(body, '# TYPE db_connections gauge\ndb_connections{state="used"} 0\ndb_connections{state="idle"} 0\ndb_connections{state="waiting"} 0\n')
  },
  async health (t, { app }) {
    t.match(await app.inject('/status'), { statusCode: 200, body: '{"status":"ok"}' })
    await app.db.run(async session => {
      await session.getConnection().execute('delete from user')
      t.equal((await app.inject('/status')).statusCode, 503, 'its only connection is taken')
    })
  },
  async sessions (t, { app, orm, removeExpired }) {
    const stored = async () => (await orm.em.fork().getConnection().execute('select data from stored_session') as { data: string }[]).map(({ data }) => (JSON.parse(data) as { user: string }).user)
    const me = async (cookie = '') => (await app.inject({ url: '/me', headers: { cookie } })).json<{ user: string }>().user
    const login = async (name: string, cookie = '') => await app.inject({ method: 'POST', url: '/login', payload: { name }, headers: { cookie } })
    app.get('/health', { config: { db: false } }, async () => 'ok')
    app.post('/conflict', async (request, reply) => {
      Object.assign(request.getDecorator<object>('session'), { user: 'Eve' })
      return await reply.code(409).send({})
    })
    t.equal((await login('')).statusCode, 401)
    t.same(await stored(), [])
    const { statusCode, headers } = await login('Ada')
    t.equal(statusCode, 200)
    const cookieOf = (header: unknown) => String(header).split(';')[0] ?? ''
    const first = cookieOf(headers['set-cookie'])
    t.same(await stored(), ['Ada'])
    const cookie = cookieOf((await login('Ada', first)).headers['set-cookie'])
    t.same([await me(first), await stored()], [null, ['Ada']], 'a login has a new id')
    t.equal((await app.inject({ method: 'POST', url: '/conflict', headers: { cookie } })).statusCode, 409)
    t.same(await stored(), ['Ada'], 'rolled back')
    t.equal((await app.inject('/health')).body, 'ok')
    t.match(await app.inject({ url: '/health', headers: { cookie } }), { statusCode: 500, body: 'FST_SCOPED_DB_NO_SCOPE' })
    t.same([await me(cookie), await me(), await me(cookie.replace(/.$/, '!'))], ['Ada', null, null])
    t.equal(await (removeExpired as () => Promise<number>)(), 0)
    await orm.em.fork().getConnection().execute('update stored_session set expires = 0')
    t.equal(await me(cookie), null, 'expired')
    t.equal(await (removeExpired as () => Promise<number>)(), 1)
    const again = cookieOf((await login('Bob')).headers['set-cookie'])
    t.equal((await app.inject({ method: 'POST', url: '/logout', headers: { cookie: again } })).statusCode, 200)
    t.same(await stored(), [])
  }
}

interface Client {
  readonly users: { query (): Promise<unknown> }
  readonly nobody: { query (): Promise<unknown> }
  readonly addUser: { mutate (input: object): Promise<unknown> }
}

void t.test('every example is known here, and every claim has its example', async t => {
  t.same(examples.map(({ name }) => name).sort(), Object.keys(claims).sort())
})

void t.test('every example passes the compiler', async t => {
  t.same(typeErrors(examples, folderWithPackages(t)), [])
})

for (const fence of examples) {
  void t.test(`${fence.place} ${fence.name}`, async t => {
    await check(t, fence, folderWithPackages(t), claims[String(fence.name)])
  })
}
