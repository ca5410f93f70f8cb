import { LockMode, MikroORM } from '@mikro-orm/core'
import Fastify from 'fastify'
import { Author, Book } from '../entities.ts'
import { held } from '../held.ts'
import type { ById, ByName, StartContender } from './contender.ts'
import { served } from './served.ts'

/** A fork in every handler, with `em.transactional()` for writes: what has to be remembered without a plugin. */
export const handWritten: StartContender = async options => {
  const orm = await MikroORM.init(options)
  const app = Fastify()

  app.get<ById>('/authors/:id', async request => {
    const em = orm.em.fork()
    return await em.findOneOrFail(Author, Number(request.params.id))
  })

  app.get('/books', async () => {
    const em = orm.em.fork()
    return await em.find(Book, {}, { limit: 50, populate: ['author'] })
  })

  app.post<ByName>('/authors', async (request, reply) => {
    const author = await orm.em.fork().transactional(async em => em.create(Author, request.body))
    reply.code(201)
    return author
  })

  app.post<ById>('/authors/:id/visits', async request => await orm.em.fork().transactional(async em => {
    const author = await em.findOneOrFail(Author, Number(request.params.id), { lockMode: LockMode.PESSIMISTIC_WRITE })
    author.visits++
    return author
  }))

  app.get('/held-with-session', async () => {
    const em = orm.em.fork()
    const answer = await held.wait()
    return { answer, em: em.id }
  })
  return served(app, orm)
}
