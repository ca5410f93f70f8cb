import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { FromApplication } from './messages.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the handler registers its work by itself, in each of its attempts. */
    hasOwnWork?: boolean
  }
}

/** Has every request that may use the database do something after its outcome: tell it. */
export function addWorkAfterwards (app: FastifyInstance, tell: (message: FromApplication) => void): void {
  app.addHook('preHandler', async request => {
    const { url, config } = request.routeOptions
    if (url !== '/idle' && config.hasOwnWork !== true) workAfterwards(app, request, tell)
  })
}

/** Registers the work of one request, and tells that it did. */
export function workAfterwards (app: FastifyInstance, { id: token }: FastifyRequest, tell: (message: FromApplication) => void): void {
  app.db.afterCommit(() => tell({ type: 'work', token, work: 'committed' }))
  app.db.afterRollback(() => tell({ type: 'work', token, work: 'rolledBack' }))
  tell({ type: 'work', token, work: 'registered' })
}
