import type { FastifyInstance } from 'fastify'
import { Database, type DatabaseHost } from '../application/database.ts'
import { NotRegisteredError } from '../errors/errors.ts'

/** An application that the plugin is registered with. */
export type RegisteredApp = Pick<FastifyInstance, 'db' | 'hasDecorator'>

/** @throws NotRegisteredError */
export function hostOf (app: RegisteredApp): DatabaseHost {
  const database: unknown = app.hasDecorator('db') ? app.db : undefined
  if (!(database instanceof Database)) throw new NotRegisteredError()
  return database.host
}
