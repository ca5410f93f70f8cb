import { MikroOrmModule } from '@mikro-orm/nestjs'
import { EntityManager, LockMode, MikroORM } from '@mikro-orm/core'
import { Body, Controller, Get, HttpCode, Inject, Module, Param, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { Author, Book } from '../entities.ts'
import { held } from '../held.ts'
import type { Contender, StartContender } from './contender.ts'

/** NestJS on its Fastify adapter with MikroORM's own module, as its documentation has it. */
export const nest: StartContender = async options => {
  const { root } = decorated()
  const module = { module: root, imports: [MikroOrmModule.forRoot(options)] }
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), { logger: false })
  app.enableShutdownHooks()
  const orm = app.get<NonNullable<Contender['orm']>>(MikroORM)
  return {
    orm,
    listen: async () => {
      await app.listen(0, '127.0.0.1')
      return await app.getUrl()
    },
    close: async () => {
      await app.close()
      await orm.close()
    }
  }
}

class Routes {
  readonly em: EntityManager

  constructor (em: EntityManager) {
    this.em = em
  }

  static () {
    return { hello: 'world' }
  }

  async author (id: string) {
    return await this.em.findOneOrFail(Author, Number(id))
  }

  async books () {
    return await this.em.find(Book, {}, { limit: 50, populate: ['author'] })
  }

  async create (body: { name: string }) {
    const author = this.em.create(Author, body)
    await this.em.flush()
    return author
  }

  async visit (id: string) {
    return await this.em.transactional(async em => {
      const author = await em.findOneOrFail(Author, Number(id), { lockMode: LockMode.PESSIMISTIC_WRITE })
      author.visits++
      return author
    })
  }

  async held () {
    return await held.wait()
  }

  async heldWithSession () {
    const answer = await held.wait()
    return { answer, em: this.em.id }
  }
}

class Root {}

/** Node strips types but knows no decorators, so they are called. */
function decorated (): { root: typeof Root } {
  Inject(EntityManager)(Routes, undefined, 0)
  on('static', Get('static'))
  on('author', Get('authors/:id'), Param('id'))
  on('books', Get('books'))
  on('create', Post('authors'), Body())
  on('visit', Post('authors/:id/visits'), Param('id'))
  on('visit', HttpCode(200))
  on('held', Get('held'))
  on('heldWithSession', Get('held-with-session'))
  Controller()(Routes)
  Module({ controllers: [Routes] })(Root)
  return { root: Root }
}

function on (method: keyof Routes, route: MethodDecorator, parameter?: ParameterDecorator): void {
  route(Routes.prototype, method, Object.getOwnPropertyDescriptor(Routes.prototype, method) as PropertyDescriptor)
  parameter?.(Routes.prototype, method, 0)
}
