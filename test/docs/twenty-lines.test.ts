/**
 * Forking in onRequest and flushing in onResponse looks right and is wrong in five ways. Each is checked here of that
 * version, which fails the check, and of this plugin, which does not.
 */
import type { EntityManager, SqlEntityManager } from '@mikro-orm/mysql'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { post } from '../support/clients.ts'
import { Gate } from '../support/signals.ts'

/** An application, how its handlers reach their session, and how many sessions it has not let go of. */
interface Version {
  readonly app: FastifyInstance
  session (request: FastifyRequest): SqlEntityManager
  open (): number
}

/** The obvious twenty lines. */
function twentyLines (orm: Stage['orm']): Version {
  const app = Fastify()
  const sessions = new Map<FastifyRequest, EntityManager>()
  app.addHook('onRequest', async request => { sessions.set(request, orm.em.fork() as EntityManager) })
  app.addHook('onResponse', async request => {
    await sessions.get(request)?.flush()
    sessions.delete(request)
  })
  return { app, session: request => sessions.get(request) as SqlEntityManager, open: () => sessions.size }
}

/** What is done after the answer takes its time. */
async function allClosed (open: () => number): Promise<boolean> {
  for (let attempt = 0; attempt < 100 && open() > 0; attempt++) await sleep(10)
  return open() === 0
}

/** Each gives true where the promise is kept. */
const CHECKS: Record<string, (version: Version, stage: Stage) => Promise<boolean>> = {
  async 'a failed commit is not reported as a success' ({ app, session, open }) {
    app.post('/', async request => {
      session(request).create(Item, { label: 'taken' })
      return 'ok'
    })
    await app.inject({ method: 'POST', url: '/' })
    await allClosed(open)
    return (await app.inject({ method: 'POST', url: '/' })).statusCode === 500
  },

  async 'no session is kept for a client that has gone' ({ app, session, open }) {
    const arrived = new Gate()
    app.post('/', async request => {
      await session(request).count(Item)
      arrived.open()
      await once(request.raw.socket, 'close')
      return 'ok'
    })
    const client = await post(Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port), '/')
    await arrived.opened
    client.leave()
    return await allClosed(open)
  },

  async 'a handler that catches its error and answers 409 commits nothing' ({ app, session, open }, { labels }) {
    app.post('/', async (request, reply) => {
      session(request).create(Item, { label: 'conflict' })
      return await reply.code(409).send('conflict')
    })
    await app.inject({ method: 'POST', url: '/' })
    await allClosed(open)
    return (await labels()).length === 0
  },

  async 'generated ids are in the reply' ({ app, session }) {
    app.post('/', async request => session(request).create(Item, { label: 'with id' }))
    return typeof (await app.inject({ method: 'POST', url: '/' })).json().id === 'number'
  },

  async 'a handler that outlives its timeout writes nothing' ({ app, session }, { labels }) {
    const answered = new Gate()
    const finished = new Gate()
    app.post('/', { handlerTimeout: 500 }, async request => {
      const em = session(request)
      await em.count(Item)
      await answered.opened
      await em.insert(Item, { label: 'late', amount: 0 }).catch(() => {})
      finished.open()
    })
    await app.inject({ method: 'POST', url: '/' })
    answered.open()
    await finished.opened
    return (await labels()).length === 0
  }
}

for (const [promise, check] of Object.entries(CHECKS)) {
  onEachDatabase(promise, { plugin: { commitOnTeardown: true } }, async (t, stage) => {
    t.equal(await check({ app: stage.app, session: request => request.db, open: () => stage.app.db.openScopes }, stage), true)
  })

  onEachDatabase(`not so in twenty lines: ${promise}`, {}, async (t, stage) => {
    const version = twentyLines(stage.orm)
    t.equal(await check(version, stage), false)
    await version.app.close()
  })
}
