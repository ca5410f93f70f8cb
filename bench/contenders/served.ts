import type { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { held } from '../held.ts'
import type { Contender } from './contender.ts'

/** A Fastify application as a contender, with the routes that all have alike. */
export function served (app: FastifyInstance, orm: MikroORM | undefined): Contender {
  app.get('/static', () => ({ hello: 'world' }))
  app.get('/held', async () => await held.wait())
  return {
    orm,
    listen: async () => await app.listen({ port: 0, host: '127.0.0.1' }),
    close: async () => {
      await app.close()
      await orm?.close()
    }
  }
}
