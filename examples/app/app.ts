import Fastify, { type FastifyInstance } from 'fastify'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { books } from './books.ts'
import { login } from './login.ts'

export interface AppOptions {
  readonly orm: NonNullable<ScopedDbOptions['orm']>
  readonly logger?: boolean
}

/** The application, not listening yet. Tests build it too. */
export async function buildApp ({ orm, logger = false }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger })

  // First, and waited for. Each request is one transaction; a conflict in the database is a 409, and so on.
  await app.register(scopedDb, { orm, commitOnTeardown: true, mapErrors: true })
  await app.db.orm.schema.update() // until you have migrations

  app.decorateRequest('user')
  app.addHook('onRequest', login)
  await app.register(books)
  return app
}
