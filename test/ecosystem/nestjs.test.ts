/** NestJS on its Fastify adapter, with MikroORM's own module. Node strips types but knows no decorators, so they are called. */
import 'reflect-metadata'
import { EntityManager, MikroORM, type EntityRepository } from '@mikro-orm/core'
import { InjectRepository, MikroOrmModule, type MikroOrmModuleSyncOptions } from '@mikro-orm/nestjs'
import { Body, ConflictException, Controller, ForbiddenException, Get, Inject, Injectable, Module, Post, Sse, StreamableFile, UseFilters, UseGuards, UseInterceptors, type ArgumentsHost, type CallHandler, type CanActivate, type ExceptionFilter, type NestInterceptor } from '@nestjs/common'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { concatMap, from, map } from 'rxjs'
import { db, type Database } from '../../plugin.ts'
import { Item, ItemSchema } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { create } from './recipes/nestjs.ts'

/** A service that knows nothing of this plugin, as MikroORM's documentation has it. */
class Items {
  readonly em: EntityManager
  readonly repository: EntityRepository<Item>

  constructor (em: EntityManager, repository: EntityRepository<Item>) {
    this.em = em
    this.repository = repository
  }

  async add (label: string): Promise<Item> {
    const item = this.repository.create({ label })
    await this.em.flush()
    return item
  }
}

class Routes {
  readonly items: Items

  constructor (items: Items) {
    this.items = items
  }

  async add ({ label }: { label: string }) {
    return await this.items.add(label)
  }

  async conflict ({ label }: { label: string }) {
    await this.items.add(label)
    throw new ConflictException()
  }

  none () { return 'none' }

  async hidden () {
    await this.items.add('hidden')
    throw new ConflictException()
  }

  events () {
    return from(this.items.add('before the events')).pipe(concatMap(() => [{ data: 'first' }, { data: 'second' }]))
  }

  async file () {
    await this.items.add('before the file')
    return new StreamableFile(Readable.from(['a ', 'file']))
  }

  async session () {
    return { same: db.session.id === this.items.em.id, found: await this.items.repository.count() }
  }
}

class Guarded {
  refuse () { return 'never' }
}

class WrittenGuard implements CanActivate {
  async canActivate (): Promise<boolean> {
    await db.session.insert(ItemSchema, { label: 'by a guard' })
    throw new ForbiddenException()
  }
}

class AlwaysFine implements ExceptionFilter {
  async catch (_error: unknown, host: ArgumentsHost) {
    await host.switchToHttp().getResponse<FastifyReply>().code(200).send({ fine: true })
  }
}

class Sessions implements NestInterceptor {
  intercept (_context: unknown, next: CallHandler) {
    const { id } = db.session
    return next.handle().pipe(map(answer => ({ ...answer as object, intercepted: id === db.session.id })))
  }
}

Injectable()(Items)
takes(Items, 0, Inject(EntityManager))
takes(Items, 1, InjectRepository(Item))
Injectable()(WrittenGuard)
Injectable()(Sessions)
takes(Routes, 0, Inject(Items))
on(Routes, 'add', Post('items'))
Body()(Routes.prototype, 'add', 0)
on(Routes, 'conflict', Post('conflict'))
Body()(Routes.prototype, 'conflict', 0)
on(Routes, 'none', Get('none'))
on(Routes, 'hidden', Post('hidden'), UseFilters(new AlwaysFine()))
on(Routes, 'events', Sse('events'))
on(Routes, 'file', Get('file'))
on(Routes, 'session', Get('session'), UseInterceptors(Sessions))
Controller()(Routes)
on(Guarded, 'refuse', Post('guarded'), UseGuards(WrittenGuard))
Controller()(Guarded)

/** Decorates a parameter of a constructor. */
function takes (Class: object, index: number, decorate: ParameterDecorator): void {
  decorate(Class, undefined, index)
}

/** Decorates a method. */
function on ({ prototype }: { prototype: object }, method: string, ...decorators: MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, method) ?? {}
  for (const decorate of decorators) decorate(prototype, method, descriptor)
}

async function start ({ database }: Stage, registerRequestContext: boolean): Promise<NestFastifyApplication> {
  class Root {}
  const options = { ...database.options, registerRequestContext } as MikroOrmModuleSyncOptions
  Module({ imports: [MikroOrmModule.forRoot(options), MikroOrmModule.forFeature([Item])], controllers: [Routes, Guarded], providers: [Items] })(Root)
  const nest = await create(Root)
  await nest.init()
  await nest.getHttpAdapter().getInstance().ready()
  return nest
}

for (const registerRequestContext of [false, true]) {
  onEachDatabase(`controllers, guards, interceptors and injected repositories, ${registerRequestContext ? 'beside' : 'without'} its own RequestContext`, {}, async (t, stage) => {
    const { labels } = stage
    const nest = await start(stage, registerRequestContext)
    const added = await nest.inject({ method: 'POST', url: '/items', payload: { label: 'one' } })
    t.match([added.statusCode, added.json()], [201, { id: 1, label: 'one' }])
    t.equal((await nest.inject({ method: 'POST', url: '/conflict', payload: { label: 'two' } })).statusCode, 409)
    t.equal((await nest.inject({ method: 'POST', url: '/guarded' })).statusCode, 403)
    t.same(await labels(), ['one'])
    const twice = await nest.inject({ method: 'POST', url: '/items', payload: { label: 'one' } })
    t.match([twice.statusCode, twice.json()], [500, { message: 'Internal server error' }])
    t.notMatch(twice.body, /unique/i)
    t.same((await nest.inject('/session')).json(), { same: true, found: 1, intercepted: true })
    const { db } = nest.getHttpAdapter().getInstance() as unknown as { db: Database }
    const forks = t.capture(nest.get<MikroORM>(MikroORM).em, 'fork', nest.get<MikroORM>(MikroORM).em.fork)
    t.equal((await nest.inject('/none')).body, 'none')
    t.equal(forks().length, registerRequestContext ? 1 : 0, 'forks for a request that uses no database')
    t.equal(db.openScopes, 0)
    t.same(await stage.database.leftovers(nest.get(MikroORM)), [])
    await nest.close()
  })
}

onEachDatabase('streamed files, server-sent events, and exception filters, whose status counts', {}, async (t, stage) => {
  const { labels } = stage
  const nest = await start(stage, false)
  await nest.listen(0, '127.0.0.1')
  const url = await nest.getUrl()
  t.equal(await (await fetch(`${url}/file`)).text(), 'a file')
  t.match(await (await fetch(`${url}/events`)).text(), /first[^]*second/)
  t.same(await labels(), ['before the events', 'before the file'])
  t.equal((await fetch(`${url}/hidden`, { method: 'POST' })).status, 200)
  t.same(await labels(), ['before the events', 'before the file', 'hidden'], 'NestJS has caught the error: Fastify does not hear of it')
  const { db } = nest.getHttpAdapter().getInstance() as unknown as { db: Database }
  t.equal(db.openScopes, 0)
  await nest.close()
})
