import { MikroORM } from '@mikro-orm/core'
import type { Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import scopedDb from '../../../plugin.ts'

/** `root` imports `MikroOrmModule.forRoot({ ..., registerRequestContext: false })`. */
export async function create (root: Type): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(root, new FastifyAdapter(), { logger: false })
  await app.register(scopedDb, { orm: app.get<MikroORM>(MikroORM), commitOnTeardown: true }) // before listen(), which adds the routes
  return app
}
