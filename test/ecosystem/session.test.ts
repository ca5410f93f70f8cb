import cookie, { Signer } from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import scopedDb, { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { Browser } from './browser.ts'
import { LoginSession, store } from './recipes/session-store.ts'

declare module 'fastify' {
  interface Session { visits?: number }
}

const automatic = { plugin: { commitOnTeardown: true }, orm: { entities: [Item, Part, LoginSession] } }

async function register (app: FastifyInstance, { database }: Stage): Promise<void> {
  await database.witness.driver.execute('create table login_session (sid varchar(255) primary key, data text)')
  await app.register(cookie)
  await app.register(session, { store, secret: 'a secret of at least thirty-two letters', cookie: { secure: false }, saveUninitialized: false })
  app.post('/visit/:status', async (request, reply) => {
    const { status } = request.params as { status: string }
    request.session.visits = (request.session.visits ?? 0) + 1
    db.session.create(Item, { label: `visit ${request.session.visits}` })
    return await reply.code(Number(status)).send({ visits: request.session.visits })
  })
  app.post('/twice', async request => {
    request.session.visits = 77
    db.session.create(Item, { label: 'visit 1' })
    return { visits: request.session.visits }
  })
  app.get('/visits', async request => ({ visits: request.session.visits ?? 0 }))
  app.post('/logout', async request => {
    // In these tests @fastify/secure-session gives request.session another type.
    await (request.session as unknown as { destroy: () => Promise<void> }).destroy()
    return { visits: 0 }
  })
}

onEachDatabase('a client\'s session and the rest of the request are one unit of work', automatic, async (t, stage) => {
  const { app, labels } = stage
  await register(app, stage)
  const browser = new Browser(app)
  const visits = async () => JSON.parse((await browser.ask('GET', '/visits')).body) as unknown
  t.same(await browser.ask('POST', '/visit/200'), { status: 200, body: '{"visits":1}' })
  t.same(await visits(), { visits: 1 })
  t.same(await browser.ask('POST', '/visit/409'), { status: 409, body: '{"visits":2}' })
  t.same(await visits(), { visits: 1 }, 'rolled back, both')
  t.same(await labels(), ['visit 1'])
  t.equal((await browser.ask('POST', '/twice')).status, 500, 'its flush fails')
  t.same(await visits(), { visits: 1 })
  t.same(await browser.ask('POST', '/visit/303'), { status: 303, body: '{"visits":2}' })
  t.same(await visits(), { visits: 2 })
  t.same(await labels(), ['visit 1', 'visit 2'])
  t.equal((await browser.ask('POST', '/logout')).status, 200)
  t.same(await visits(), { visits: 0 })
  t.equal((await stage.database.witness.driver.execute('select * from login_session')).length, 0)
})

onEachDatabase('who has no session, and makes none, sends no statement', automatic, async (t, stage) => {
  const { app } = stage
  await register(app, stage)
  let opened = 0
  app.db.on('opened', () => { opened++ })
  t.same(await new Browser(app).ask('GET', '/visits'), { status: 200, body: '{"visits":0}' })
  t.equal(opened, 0)
})

onEachDatabase('a plugin whose hooks come before those of this one finds no session', {}, async (t, stage) => {
  const { database, orm } = stage
  await database.witness.driver.execute('create table login_session (sid varchar(255) primary key, data text)')
  const app = Fastify()
  await app.register(cookie)
  await app.register(session, { store, secret: 'a secret of at least thirty-two letters' })
  await app.register(scopedDb, { orm, name: 'late', commitOnTeardown: true })
  app.get('/', async () => 'ok')
  const reply = await app.inject({ url: '/', headers: { cookie: `sessionId=${encodeURIComponent(new Signer('a secret of at least thirty-two letters').sign('known'))}` } })
  t.match([reply.statusCode, reply.body], [500, /no scope is current/])
  await app.close()
})
