import { LockMode, MikroORM, type EntityManager } from '@mikro-orm/core'
import Fastify, { type FastifyRequest } from 'fastify'
import { Author, Book } from '../entities.ts'
import { held } from '../held.ts'
import type { ById, ByName, StartContender } from './contender.ts'
import { served } from './served.ts'

/** A fork for every request, kept on it, used or not. */
export const eagerFork: StartContender = async options => {
  const orm = await MikroORM.init(options)
  const app = Fastify()

  app.decorateRequest('em')
  app.addHook('onRequest', async request => {
    (request as Forked<FastifyRequest>).em = orm.em.fork()
  })

  app.get<ById>('/authors/:id', async request => await emOf(request).findOneOrFail(Author, Number(request.params.id)))

  app.get('/books', async request => await emOf(request).find(Book, {}, { limit: 50, populate: ['author'] }))

  app.post<ByName>('/authors', async (request, reply) => {
    const author = emOf(request).create(Author, request.body)
    await emOf(request).flush()
    reply.code(201)
    return author
  })

  app.post<ById>('/authors/:id/visits', async request => await emOf(request).transactional(async em => {
    const author = await em.findOneOrFail(Author, Number(request.params.id), { lockMode: LockMode.PESSIMISTIC_WRITE })
    author.visits++
    return author
  }))

  app.get('/held-with-session', async request => {
    const answer = await held.wait()
    return { answer, em: emOf(request).id }
  })
  return served(app, orm)
}

type Forked<R> = R & { em: EntityManager }

function emOf (request: unknown): EntityManager {
  return (request as Forked<object>).em
}
