/** Plugins that run code of the application in places of their own: the session of the request is there. */
import { diContainer, fastifyAwilixPlugin } from '@fastify/awilix'
import middie from '@fastify/middie'
import { fastifyRequestContext, requestContext } from '@fastify/request-context'
import { asClass, asFunction, Lifetime } from 'awilix'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

declare module '@fastify/request-context' {
  interface RequestContextData { session: number }
}

declare module '@fastify/awilix' {
  interface Cradle { items: Items }
  interface RequestCradle { label: string, session: { insert (entity: typeof Item, row: { label: string }): Promise<unknown> } }
}

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('@fastify/request-context: both contexts are there, in every hook', automatic, async (t, { app, labels }) => {
  await app.register(fastifyRequestContext, { hook: 'preValidation', defaultStoreValues: () => ({ session: db.session.id }) })
  app.post('/:status', async (request, reply) => {
    await db.session.insert(Item, { label: 'in a context' })
    const isSame = [requestContext.get('session'), request.db.id, db.session.id].every((id, _index, [first]) => id === first)
    return await reply.code(Number((request.params as { status: string }).status)).send({ isSame })
  })
  const ask = async (status: number) => await app.inject({ method: 'POST', url: `/${status}`, payload: { large: 'x'.repeat(100_000) } })
  t.equal((await ask(409)).statusCode, 409)
  t.same(await labels(), [])
  const replies = await Promise.all([ask(200), app.inject({ method: 'POST', url: '/404' })])
  t.same(replies.map(reply => reply.json<unknown>()), [{ isSame: true }, { isSame: true }])
  t.same(await labels(), ['in a context'])
})

onEachDatabase('@fastify/middie: middleware has the session, and the status of what it answers itself counts', automatic, async (t, { app, labels, assertClean }) => {
  await app.register(middie, { hook: 'preHandler' })
  app.use('/written', (_request, _response, next) => {
    void db.session.insert(Item, { label: 'by middleware' }).then(() => { next() }, next)
  })
  app.use('/fails', (_request, _response, next) => {
    void db.session.insert(Item, { label: 'by what fails' }).then(() => { next(Object.assign(new Error('no'), { statusCode: 409 })) }, next)
  })
  app.use('/ends', (request: IncomingMessage, response: ServerResponse) => {
    const status = Number(request.headers['x-status'])
    void db.session.insert(Item, { label: `by what ends with ${status}` }).then(() => { response.writeHead(status).end('ended') })
  })
  for (const url of ['/written', '/fails', '/ends']) app.post(url, async () => 'ok')
  const ask = async (url: string, headers = {}) => (await app.inject({ method: 'POST', url, headers })).statusCode
  t.same([await ask('/written'), await ask('/fails')], [200, 409])
  t.same(await labels(), ['by middleware'])
  t.same([await ask('/ends', { 'x-status': '200' }), await ask('/ends', { 'x-status': '409' })], [200, 409])
  await assertClean()
  t.same(await labels(), ['by middleware', 'by what ends with 200'])
})

class Items {
  async add (label: string) { return await db.session.insert(Item, { label }) }
}

onEachDatabase('@fastify/awilix: singletons with db.session, and request scopes with request.db', automatic, async (t, { app, labels }) => {
  await app.register(fastifyAwilixPlugin, { container: diContainer, disposeOnClose: true, disposeOnResponse: true, strictBooleanEnforced: true })
  diContainer.register({ items: asClass(Items, { lifetime: Lifetime.SINGLETON }) })
  app.addHook('onRequest', async request => {
    request.diScope.register({ session: asFunction(() => request.db, { lifetime: Lifetime.SCOPED }) })
  })
  app.post('/:status', async (request, reply) => {
    await app.diContainer.resolve('items').add('by a singleton')
    await request.diScope.resolve('session').insert(Item, { label: 'by a scope' })
    return await reply.code(Number((request.params as { status: string }).status)).send({})
  })
  t.equal((await app.inject({ method: 'POST', url: '/500' })).statusCode, 500)
  t.same(await labels(), [])
  t.equal((await app.inject({ method: 'POST', url: '/201' })).statusCode, 201)
  t.same(await labels(), ['by a scope', 'by a singleton'])
})
