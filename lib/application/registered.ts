import type { FastifyInstance } from 'fastify'
import { NotRegisteredError } from '../errors/errors.ts'
import { Database } from './database.ts'

/**
 * What is registered in an application.
 * @throws NotRegisteredError
 */
export function registeredDatabase (app: Pick<FastifyInstance, 'db' | 'hasDecorator'>): Database {
  // Another plugin's decorator is none of ours.
  const database: unknown = app.hasDecorator('db') ? app.db : undefined
  if (!(database instanceof Database)) throw new NotRegisteredError()
  return database
}
