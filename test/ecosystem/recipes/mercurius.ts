import type { FastifyInstance } from 'fastify'
import { db } from '../../../plugin.ts'
import type { GraphQLError } from 'graphql'
import mercurius, { type MercuriusOptions } from 'mercurius'

/** An answer with errors leaves nothing in the database, although its status is 200. */
export function rollbackOnErrors (app: FastifyInstance): void {
  app.graphql.addHook('onResolution', async ({ errors }, { reply }) => {
    if (errors !== undefined && reply !== undefined) db.setRollbackOnly()
  })
}

/** What a resolver has thrown can tell of the database: clients get what is meant for them. The log gets all of it. */
export const errorFormatter: MercuriusOptions['errorFormatter'] = (execution, context) => {
  const errors = execution.errors?.map(error => isMeant(error) ? error : Object.create(error, { message: { value: 'Internal server error' } }) as GraphQLError)
  return mercurius.defaultErrorFormatter({ ...execution, errors: errors ?? null }, context)
}

function isMeant ({ originalError }: GraphQLError): boolean {
  const { code } = (originalError ?? {}) as { code?: unknown }
  return originalError == null || originalError instanceof mercurius.ErrorWithProps || /^(FST|MER)_/.test(String(code))
}
