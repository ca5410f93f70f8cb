import { LockMode, MikroORM, type Options } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import scopedDb, { type ScopeOptions } from '../../plugin.ts'
import { Author, Book } from '../entities.ts'
import { held } from '../held.ts'
import type { ById, ByName, Contender, StartContender } from './contender.ts'
import { served } from './served.ts'

/** This plugin as it is out of the box: the handler commits. */
export const scopedDbOff: StartContender = async options => await start(options, { commitOnTeardown: false }, app => {
  app.post<ByName>('/authors', async (request, reply) => {
    const author = request.db.create(Author, request.body)
    await request.db.flush()
    reply.code(201)
    return author
  })

  app.post<ById>('/authors/:id/visits', async request => await request.db.transactional(async em => {
    const author = await em.findOneOrFail(Author, Number(request.params.id), { lockMode: LockMode.PESSIMISTIC_WRITE })
    author.visits++
    return author
  }))
})

/** This plugin with `commitOnTeardown`: the plugin commits. */
export const scopedDbOn: StartContender = async options => await start(options, { commitOnTeardown: true }, addCommittedWrites)

/** The same with BEGIN as a round trip of its own. */
export const scopedDbBeginApart: StartContender = async options => await start(options, { commitOnTeardown: true, beginWithFirst: false }, addCommittedWrites)

function addCommittedWrites (app: FastifyInstance): void {
  app.post<ByName>('/authors', async (request, reply) => {
    const author = request.db.create(Author, request.body)
    reply.code(201)
    return author
  })

  app.post<ById>('/authors/:id/visits', async request => {
    const author = await request.db.findOneOrFail(Author, Number(request.params.id), { lockMode: LockMode.PESSIMISTIC_WRITE })
    author.visits++
    return author
  })
}

/** Reading is the same either way. */
async function start (options: Options, settings: ScopeOptions, addWrites: (app: FastifyInstance) => void): Promise<Contender> {
  const orm = await MikroORM.init(options)
  const app = Fastify()
  await app.register(scopedDb, { orm, ...settings })

  app.get<ById>('/authors/:id', async request => await request.db.findOneOrFail(Author, Number(request.params.id)))

  app.get('/books', async request => await request.db.find(Book, {}, { limit: 50, populate: ['author'] }))

  app.get('/held-with-session', async request => {
    const { db } = request
    const answer = await held.wait()
    return { answer, em: db.id }
  })
  addWrites(app)
  return served(app, orm)
}
