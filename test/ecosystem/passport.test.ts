/** @fastify/passport, with its sessions in a cookie of @fastify/secure-session. */
import { Authenticator } from '@fastify/passport'
import secureSession from '@fastify/secure-session'
import type { FastifyInstance } from 'fastify'
import { Strategy } from 'passport-local'
import { db } from '../../plugin.ts'
import { ItemSchema as Item, type Item as User } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Browser } from './browser.ts'

declare module 'fastify' {
  interface PassportUser { id: number, label: string }
}

declare module '@fastify/secure-session' {
  interface SessionData { visits: number }
}

const automatic = { plugin: { commitOnTeardown: true } }

/** Users are items: their label is the name, and the amount counts their attempts. */
async function register (app: FastifyInstance): Promise<void> {
  const passport = new Authenticator()
  await app.register(secureSession, { key: Buffer.alloc(32, 7), cookie: { path: '/' } })
  await app.register(passport.initialize())
  await app.register(passport.secureSession())
  passport.registerUserSerializer(async (user: User) => user.id)
  passport.registerUserDeserializer(async (id: number) => await db.session.findOne(Item, id))
  passport.use('local', new Strategy((username, password, done) => {
    const login = async () => {
      const user = await db.session.findOne(Item, { label: username })
      if (user !== null) user.amount++
      return user !== null && password === 'right' ? user : false
    }
    void login().then(user => { done(null, user) }, done)
  }))
  app.post('/login', { preValidation: passport.authenticate('local') }, async request => ({ id: request.user?.id }))
  app.get('/me', async (request, reply) => {
    if (!request.user) return await reply.code(401).send({})
    return { same: request.user === await db.session.findOne(Item, request.user.id), label: request.user.label }
  })
  app.post('/rename/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    if (request.user) request.user.label = 'renamed'
    return await reply.code(Number(status)).send({})
  })
  app.post('/visits/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    const visits = (request.session.get('visits') ?? 0) + 1
    request.session.set('visits', visits)
    await db.session.insert(Item, { label: `visit ${visits}` })
    return await reply.code(Number(status)).send({ visits })
  })
}

onEachDatabase('strategies and deserializers have the session of their request', automatic, async (t, { app, labels }) => {
  await register(app)
  await app.db.run(async session => { await session.insert(Item, { label: 'ada', amount: 0 }) })
  const attempts = async () => await app.db.run(async session => (await session.findOneOrFail(Item, 1)).amount)
  const browser = new Browser(app)
  t.equal((await browser.ask('GET', '/me')).status, 401)
  t.equal((await browser.ask('POST', '/login', { username: 'ada', password: 'wrong' })).status, 401)
  t.equal(await attempts(), 0, 'a 401 is rolled back, what the strategy has written with it')
  t.same(await browser.ask('POST', '/login', { username: 'ada', password: 'right' }), { status: 200, body: '{"id":1}' })
  t.equal(await attempts(), 1)
  t.same(await browser.ask('GET', '/me'), { status: 200, body: '{"same":true,"label":"ada"}' })
  t.equal((await browser.ask('POST', '/rename/409')).status, 409)
  t.same(await labels(), ['ada'])
  t.equal((await browser.ask('POST', '/rename/200')).status, 200, 'request.user is an entity of the session: its changes are flushed')
  t.same(await labels(), ['renamed'])
})

onEachDatabase('a cookie of @fastify/secure-session is no part of the unit of work', automatic, async (t, { app, labels }) => {
  await register(app)
  const browser = new Browser(app)
  t.same(await browser.ask('POST', '/visits/200'), { status: 200, body: '{"visits":1}' })
  t.same(await browser.ask('POST', '/visits/409'), { status: 409, body: '{"visits":2}' })
  t.same(await labels(), ['visit 1'])
  t.same(await browser.ask('POST', '/visits/200'), { status: 200, body: '{"visits":3}' }, 'the cookie went out with the 409')
  t.same(await labels(), ['visit 1', 'visit 3'])
})
