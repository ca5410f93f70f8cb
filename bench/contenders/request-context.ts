import { LockMode, MikroORM, RequestContext } from '@mikro-orm/core'
import Fastify from 'fastify'
import { Author, Book } from '../entities.ts'
import { held } from '../held.ts'
import type { ById, ByName, StartContender } from './contender.ts'
import { served } from './served.ts'

/** The `onRequest` hook of MikroORM's documentation. */
export const requestContext: StartContender = async options => {
  const orm = await MikroORM.init(options)
  const app = Fastify()

  app.addHook('onRequest', (_request, _reply, done) => {
    RequestContext.create(orm.em, done)
  })

  app.get<ById>('/authors/:id', async request => await orm.em.findOneOrFail(Author, Number(request.params.id)))

  app.get('/books', async () => await orm.em.find(Book, {}, { limit: 50, populate: ['author'] }))

  app.post<ByName>('/authors', async (request, reply) => {
    const author = orm.em.create(Author, request.body)
    await orm.em.flush()
    reply.code(201)
    return author
  })

  app.post<ById>('/authors/:id/visits', async request => await orm.em.transactional(async em => {
    const author = await em.findOneOrFail(Author, Number(request.params.id), { lockMode: LockMode.PESSIMISTIC_WRITE })
    author.visits++
    return author
  }))

  app.get('/held-with-session', async () => {
    const answer = await held.wait()
    return { answer, em: orm.em.id }
  })
  return served(app, orm)
}
