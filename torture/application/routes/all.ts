import type { FastifyInstance } from 'fastify'
import { CounterSchema as Counter } from '../entities.ts'
import type { ApplicationSettings, FromApplication } from '../messages.ts'
import { addConversionRoutes } from './conversions.ts'
import { addCounterRoutes } from './counters.ts'
import { addDatabaseRoutes } from './databases.ts'
import { addEndingRoutes } from './endings.ts'
import { addFailingRoutes } from './failing.ts'
import { arriving } from './handler.ts'
import { addHookRoutes } from './hooks.ts'
import { addPlainRoutes } from './plain.ts'
import { addReplyRoutes } from './replies.ts'
import { addRetryRoutes } from './retries.ts'
import { addUpgradeRoutes } from './upgrades.ts'

/** The routes that orders are sent to: what applications do, one thing each. All but two of them write. */
export function addRoutes (app: FastifyInstance, tell: (message: FromApplication) => void, { payload }: ApplicationSettings): void {
  const arrive = arriving(tell)
  app.get('/idle', async () => 'idle')
  app.get('/read', async request => await request.db.find(Counter, {}))
  addPlainRoutes(app, arrive, tell)
  addCounterRoutes(app, arrive)
  addFailingRoutes(app, arrive)
  addReplyRoutes(app, arrive, payload)
  addEndingRoutes(app, arrive)
  addHookRoutes(app, arrive, tell)
  addConversionRoutes(app, arrive)
  addDatabaseRoutes(app, arrive)
  addRetryRoutes(app, arrive, tell)
  addUpgradeRoutes(app, arrive)
}
